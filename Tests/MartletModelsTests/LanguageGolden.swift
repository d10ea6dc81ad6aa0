import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletWire
import Testing

/// What `scripts/golden/make_language.py` wrote of one model, and its weights, drawn as that script draws them.
struct LanguageGolden {
    let name: String
    let expected: SafeTensors
    private let folder: URL

    init(_ name: String) throws {
        self.name = name
        let root = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
        folder = root.appending(path: "language").appending(path: name)
        expected = try SafeTensors(path: folder.appending(path: "expected.safetensors").path)
    }

    var config: JSON { get throws { try json("config.json") } }

    /// The tensors of the model's own checkpoint.
    func weights() throws -> [(String, Tensor)] {
        try #require(json("shapes.json").object).map { name, shape in
            let shape = try #require(shape.array).compactMap(\.int)
            return (name, try Tensor(DrawnWeights.weight(name, shape), shape: shape))
        }
    }

    /// Writes config.json and model.safetensors to a fresh folder.
    func write() throws -> URL {
        let url = FileManager.default.temporaryDirectory.appending(path: "golden-\(name)-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        try config.data.write(to: url.appending(path: "config.json"))
        try SafeTensors.write(weights(), to: url.appending(path: "model.safetensors").path)
        return url
    }

    /// Gives `body` such a folder and removes it.
    func withFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
        let url = try write()
        defer { try? FileManager.default.removeItem(at: url) }
        return try body(url)
    }

    static func prompt(_ length: Int, vocabulary: Int = 131) -> [Int] {
        (0..<length).map { (7 * $0 * $0 + 13 * $0 + 5) % (vocabulary - 3) + 3 }
    }

    private func json(_ file: String) throws -> JSON {
        try JSONParser.parse(Data(contentsOf: folder.appending(path: file)))
    }
}

extension LanguageModel {
    /// Logits of the last `rows` tokens of one sequence.
    func logits(of tokens: [Int], rows: Int) throws -> Tensor {
        try Tensor.inference {
            let forward = Forward.inference()
            let attention = try SequenceAttention(rows: 1, length: tokens.count)
            let x = try hidden(Tensor(tokens, shape: [tokens.count]), attention, forward)
            return try logits(x.narrow(0, from: tokens.count - rows, length: rows), forward)
        }
    }

    /// The likeliest continuation, computed anew for each token.
    func greedy(_ tokens: [Int], count: Int) throws -> [Int] {
        var all = tokens
        for _ in 0..<count { all.append(try logits(of: all, rows: 1).argmax().intItem()) }
        return Array(all.dropFirst(tokens.count))
    }
}

/// The largest absolute difference.
func difference(_ first: Tensor, _ second: Tensor) throws -> Double {
    try #require(first.shape == second.shape, "\(first.shape) is not \(second.shape)")
    return try first.sub(second).abs().max().item()
}
