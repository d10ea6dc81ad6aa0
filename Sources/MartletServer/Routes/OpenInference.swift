import MartletPlatform
import MartletWire

/// The Open Inference Protocol's documents, from what a model's signature says.
enum OpenInference {
    static func server(name: String, version: String) -> JSON {
        [
            "name": .string(name), "version": .string(version),
            "extensions": ["binary_tensor_data", "model_configuration", "model_repository", "statistics"],
        ]
    }

    static func metadata(_ served: ServedModel) -> JSON {
        [
            "name": .string(served.name),
            "versions": .array(served.versions.map { .string(String($0)) }),
            "platform": "martlet",
            "inputs": .array(served.model.signature.inputs.map(tensor)),
            "outputs": .array(served.model.signature.outputs.map(tensor)),
        ]
    }

    private static func tensor(_ spec: Signature.TensorSpec) -> JSON {
        [
            "name": .string(spec.name), "datatype": .string(spec.datatype),
            "shape": .array(spec.shape.map { JSON($0) }),
        ]
    }

    /// Triton's model configuration: the batch is not among the dims.
    static func configuration(_ served: ServedModel, _ configuration: Configuration) -> JSON {
        func tensors(_ specs: [Signature.TensorSpec]) -> JSON {
            .array(
                specs.map { spec in
                    let type = spec.datatype == "BYTES" ? "STRING" : spec.datatype
                    return [
                        "name": .string(spec.name), "data_type": .string("TYPE_" + type),
                        "dims": .array(spec.shape.dropFirst().map { JSON($0) }),
                    ]
                })
        }
        return [
            "name": .string(served.name), "platform": "martlet", "backend": "martlet",
            "version_policy": ["latest": ["num_versions": 1]],
            "max_batch_size": JSON(configuration.maxBatch),
            "input": tensors(served.model.signature.inputs),
            "output": tensors(served.model.signature.outputs),
            "dynamic_batching": [
                "max_queue_delay_microseconds": 0
            ],
        ]
    }

    static func statistics(_ served: ServedModel, _ entry: InferenceStatistics.Entry) -> JSON {
        func duration(_ count: Int, _ nanoseconds: UInt64) -> JSON {
            ["count": JSON(count), "ns": .int(Int64(clamping: nanoseconds))]
        }
        let nothing = duration(0, 0)
        return [
            "name": .string(served.name), "version": .string(String(served.model.version)),
            "last_inference": .int(Int64(clamping: entry.lastMilliseconds)),
            "inference_count": JSON(entry.rowCount), "execution_count": JSON(entry.successCount),
            "inference_stats": [
                "success": duration(entry.successCount, entry.successNanoseconds),
                "fail": duration(entry.failureCount, entry.failureNanoseconds),
                "queue": duration(entry.successCount, entry.queueNanoseconds),
                "compute_input": nothing,
                "compute_infer": duration(entry.successCount, entry.computeNanoseconds),
                "compute_output": nothing, "cache_hit": nothing, "cache_miss": nothing,
            ],
            "batch_stats": [],
        ]
    }

    static func indexEntry(_ served: ServedModel) -> JSON {
        [
            "name": .string(served.name), "version": .string(String(served.model.version)),
            "state": served.isReady ? "READY" : "UNAVAILABLE",
            "reason": served.isReady ? "" : "not loaded yet; a request waits until it is",
        ]
    }

    /// `{"ready": true}` of an index request; an empty body is no.
    static func wantsReadyOnly(_ call: Call) async throws -> Bool {
        let buffer = try await call.body()
        guard buffer.readableBytes > 0 else { return false }
        let value = try JSONParser.parse(Array(buffer.readableBytesView))
        try Call.check(value, fields: ["ready"])
        return value["ready"]?.bool ?? false
    }
}
