import Foundation
import MartletNN
import MartletTensor
import MartletWire
import Testing

/// What a resumed job stands on: the same bits from the same numbers, with several threads.
@Suite(.serialized) struct DeterminismTests {
    private static let key = RandomKey(seed: 11, purpose: 90)

    /// Sizes are large enough that libtorch splits the work between threads.
    private static func cases() throws -> [(String, any Module, Tensor, (Tensor, Forward) throws -> Tensor)] {
        var found: [(String, any Module, Tensor, (Tensor, Forward) throws -> Tensor)] = []
        func add(_ name: String, _ layer: any Layer, _ shape: [Int]) throws {
            found.append((name, layer, try Tensor.normal(shape, key: key), { try layer($0, $1) }))
        }
        try add("linear", Linear(256, 512), [512, 256])
        try add("conv1d", Conv1d(16, 32, kernel: 5, padding: 2), [16, 16, 512])
        try add("conv2d", Conv2d(16, 32, kernel: 3, padding: 1), [16, 16, 32, 32])
        try add("max_pool2d", MaxPool2d(3, stride: 2), [16, 32, 64, 64])
        try add("max_pool2d_own", MaxPool2d(2), [16, 32, 65, 63])
        try add("batch_norm1d", BatchNorm1d(64), [4096, 64])
        try add("batch_norm2d", BatchNorm2d(32), [16, 32, 32, 32])
        try add("layer_norm", LayerNorm(128), [4096, 128])
        try add("group_norm", GroupNorm(4, 32), [16, 32, 32, 32])
        try add("rms_norm", RMSNorm(128), [4096, 128])
        try add("dropout", Dropout(0.3), [1024, 1024])
        try add("rnn", RNN(32, 64, layers: 2), [64, 50, 32])
        try add("lstm", LSTM(32, 64, layers: 2, bidirectional: true, dropout: 0.2), [64, 50, 32])
        try add("gru", GRU(32, 64, bidirectional: true), [64, 50, 32])
        try add(
            "encoder", TransformerEncoderLayer(TransformerConfig(width: 64, headCount: 4, feedforward: 128)),
            [32, 64, 64])
        try add(
            "encoder_flash",
            TransformerEncoder(
                TransformerConfig(width: 64, headCount: 4, feedforward: 128, dropout: 0, normFirst: true), layerCount: 2
            ),
            [32, 64, 64])
        try add("learned", LearnedPosition(64, 64), [256, 64, 64])
        for activation in Activation.allCases {
            try add(activation.rawValue, ActivationLayer(activation), [1024, 1024])
        }

        let decoder = try TransformerDecoderLayer(TransformerConfig(width: 64, headCount: 4, feedforward: 128))
        found.append(
            ("decoder", decoder, try Tensor.normal([32, 64, 64], key: key), { try decoder($0, memory: $0, $1) }))
        let gru = try GRU(32, 64)
        let lengths = (0..<64).map { 1 + $0 % 50 }
        found.append(
            (
                "gru_lengths", gru, try Tensor.normal([64, 50, 32], key: key),
                { try gru($0, state: nil, lengths: lengths, $1).output }
            ))
        // Many rows fall on few vectors: gradients of one place come from all threads.
        let embedding = try Embedding(50, 64)
        let tokens = try Tensor(key.permutation(100_000).map { $0 % 50 })
        found.append(("embedding", embedding, try Tensor.zeros([1]), { x, forward in try embedding(tokens, forward) }))
        let none = Sequential([])
        let shape = [2000, 64]
        let functions: [(String, (Tensor) throws -> Tensor)] = [
            ("index_select", { try $0.indexSelect(0, tokens) }),
            ("gather", { try $0.gather(0, tokens.narrow(0, from: 0, length: 64_000).reshape([1000, 64])) }),
            ("index", { try Op("aten::index.Tensor").tensor(.tensor($0), .optionalTensors([tokens])) }),
            ("cumsum", { try $0.cumsum(0) }), ("sort", { try $0.sorted(0).values }),
            ("topk", { try $0.topk(9).values }),
            ("max", { try $0.max([0]) }), ("norm", { try $0.norm(2, axes: [0]) }), ("prod", { try $0.pow(3).mul($0) }),
            ("softmax", { try $0.softmax(0) }), ("logsumexp", { try $0.logsumexp([0]) }),
            ("variance", { try $0.variance([0]) }), ("broadcast", { try $0.mul($0.narrow(0, from: 0, length: 1)) }),
            ("cat", { try Tensor.cat([$0, $0.flip([0])], axis: 1) }), ("matmul", { try $0.transpose(0, 1).matmul($0) }),
            ("masked_fill", { try $0.maskedFill($0.gt(0), -1) }),
            ("where", { try Tensor.where($0.gt(0), $0, $0.mul(2)) }),
            ("repeated", { try $0.repeated([2, 3]) }), ("pad", { try $0.padded([1, 2, 3, 4]) }),
            ("cross_entropy", { try Loss.crossEntropy($0, tokens.narrow(0, from: 0, length: 2000)) }),
            (
                "smoothed",
                { try Loss.crossEntropy($0, tokens.narrow(0, from: 0, length: 2000), labelSmoothing: 0.1) }
            ),
            ("mse", { try Loss.mse($0, $0.detach().mul(2)) }), ("mae", { try Loss.mae($0, $0.detach().mul(2)) }),
            ("huber", { try Loss.huber($0, $0.detach().mul(2)) }),
            ("bce", { try Loss.binaryCrossEntropy($0, $0.detach().sigmoid()) }),
        ]
        for (name, body) in functions {
            found.append((name, none, try Tensor.normal(shape, key: key), { x, _ in try body(x) }))
        }
        return found
    }

    @Test func everyBackwardGivesTheSameBitsWithTwoThreads() throws {
        let (threads, deterministic) = (Torch.threadCount, Torch.isDeterministic)
        defer {
            try? Torch.setThreadCount(threads)
            try? Torch.setDeterministic(deterministic)
        }
        try Torch.setThreadCount(2)
        try Torch.setDeterministic(true)
        for (name, module, source, body) in try Self.cases() {
            try module.initialize(seed: 5)
            var runs: [[Tensor]] = []
            for _ in 0..<3 {
                for item in module.parameters() { try item.parameter.value.setGrad(nil) }
                let x = try source.clone().requiresGrad(true)
                let output = try body(x, Forward(training: true, seed: 1, step: 1))
                let weight = try Tensor.normal(output.shape, key: RandomKey(seed: 12, purpose: 90))
                try output.mul(weight).sum().backward()
                runs.append(
                    [try output.detach()] + [x.grad].compactMap { $0 }
                        + module.parameters().compactMap { $0.parameter.value.grad })
            }
            #expect(runs[0].count >= 2 || name == "embedding", "\(name) has no gradient")
            for run in runs.dropFirst() {
                for (a, b) in zip(run, runs[0]) { #expect(try a.equals(b), "\(name)") }
            }
            #expect(try runs[0].allSatisfy { try $0.isfinite().all().item() == 1 }, "\(name)")
        }
    }
}
