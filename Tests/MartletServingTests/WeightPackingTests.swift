import Foundation
import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletTesting
import MartletWire
import Testing

private let compute = ComputeThread()

/// Weights that are read from their files while they are packed.
@Suite struct WeightPackingTests {
    private static func withBundle<Result>(
        _ name: String, _ type: ScalarType, _ body: (URL, any LanguageModel) throws -> Result
    ) throws -> Result {
        try withScratch { folder in
            try LanguageBundle.save(
                TinyLanguageModel.make(name), config: TinyLanguageModel.config(name), type: type, to: folder)
            return try body(folder, LanguageBundle.load(folder).model)
        }
    }

    /// With experts, tied weights, rows and columns exchanged, and stored in 16 bits.
    @Test(arguments: TinyLanguageModel.names, [1, 3])
    func aModelThatIsPackedAsItIsReadGivesItsLogits(_ name: String, _ threads: Int) throws {
        try compute.run {
            let before = Torch.threadCount
            try Torch.setThreadCount(threads)
            defer { try? Torch.setThreadCount(before) }
            for type in [ScalarType.float32, .float16, .bfloat16] {
                try Self.withBundle(name, type) { folder, model in
                    try model.setTrainable(false)
                    let tokens = prompt(40, vocabulary: model.geometry.vocabularyCount)
                    let expected = try model.sequenceLogits(tokens)
                    let scale = try max(1, expected.abs().max().item())
                    for (format, limit) in [(WeightFormat.dense, 1e-4), (.packed, 1e-4), (.half, 2e-2)] {
                        let probe = try LanguageProbe(bundle: folder, format: format)
                        let error = try probe.logits([tokens])[0].sub(expected).abs().max().item() / scale
                        #expect(error <= limit, "\(name), \(type.rawValue) as \(format.rawValue): \(error)")
                    }
                }
            }
        }
    }

    @Test func aNumberThatSixteenBitsDoNotHoldIsServedInFloat32() throws {
        try compute.run {
            let model = try TinyLanguageModel.make("llama")
            let named = model.parameters().first { $0.name.hasSuffix("layers.1.mlp.down_proj.weight") }
            let parameter = try #require(named).parameter
            try Tensor.withoutGradients { try parameter.value.select(0, 0).fill_(70_000) }
            let folder = FileManager.default.temporaryDirectory.appending(path: "packing-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: folder) }
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try LanguageBundle.save(model, config: TinyLanguageModel.config("llama"), to: folder)
            let tokens = prompt(9)
            let expected = try model.sequenceLogits(tokens)
            let probe = try LanguageProbe(bundle: folder, format: nil)
            #expect(probe.format == .packed)
            let scale = try max(1, expected.abs().max().item())
            #expect(try probe.logits([tokens])[0].sub(expected).abs().max().item() / scale <= 1e-4)
            #expect(throws: (any Error).self) { _ = try LanguageProbe(bundle: folder, format: .half) }
        }
    }

    @Test func aFileThatWasCutIsNamed() throws {
        try compute.run {
            try Self.withBundle("llama", .float32) { folder, _ in
                let bundle = try LanguageBundle.load(folder, leavesLinear: true)
                let weights = folder.appending(path: "model.safetensors").path
                let size = try #require(FileManager.default.attributesOfItem(atPath: weights)[.size] as? Int)
                #expect(truncate(weights, off_t(size / 2)) == 0)
                #expect {
                    _ = try LoadedLanguageModel(
                        bundle.model, deferred: bundle.deferred, vocabulary: ByteTokens.text(count: 131).vocabulary)
                } throws: {
                    ($0 as? MartletError)?.code == .invalidData
                }
            }
        }
    }
}
