import Foundation
import MartletData
import MartletModels
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

/// The documents' own programs against PyTorch, from the same first weights and over the same rows in the same order.
@Suite struct ProgramTests {
    private struct Golden: Decodable {
        var programs: [String: Program]
    }

    private struct Program: Decodable {
        struct Parameter: Decodable {
            var shape: [Int]
            var stride: Int
            var norm: Double
            var values: [Double]
        }
        var steps: Int
        var losses: [Double]
        var parameters: [Parameter]
    }

    /// The formula of the script that made the golden values.
    private static func firstWeights(_ place: Int, _ shape: [Int]) throws -> Tensor {
        let count = shape.reduce(1, *)
        let bound = 1 / Double(shape.count > 1 ? shape[1] : shape[0]).squareRoot()
        let values = (1...count).map { index -> Float in
            let number = (UInt64(index) * 2_654_435_761 + 40_503 * UInt64(place + 1)) % (1 << 32)
            return Float((Double(number) / 4_294_967_296 * 2 - 1) * bound)
        }
        return try Tensor(values, shape: shape)
    }

    @Test(arguments: [
        "program-1-linear", "program-2-relu", "program-3-classes", "program-4-bigmodel", "program-5-64",
    ])
    func `a hundred steps give PyTorch's losses and weights`(name: String) throws {
        let wanted = try #require(golden("programs.json", as: Golden.self).programs[name])
        let scratch = try Scratch()
        let recipe = try recipe(
            exampleText("\(name).yaml"),
            [
                "training.steps=\(wanted.steps)", "training.shuffle=false",
                "data.split={train: 1, validation: 0, test: 0, order: sequential}",
            ])
        let data = try scratch.prepare(recipe, [example("data/\(name).csv")])
        let (losses, weights) = try onCompute {
            let network = try FeatureNetwork(NetworkConfig(recipe, data.preprocessing, data.train.layouts))
            let names = network.parameters().map { ($0.name, $0.parameter.value.shape) }
            try network.load(names.enumerated().map { ($1.0, try Self.firstWeights($0, $1.1)) })
            let session = try TrainingSession(recipe, network: network, rows: data.train)
            var losses: [Double] = []
            while !session.isDone { losses.append(try session.step().loss) }
            return (losses, try session.weights.map { ($0.1.shape, try $0.1.array(of: Double.self)) })
        }
        #expect(losses.count == wanted.steps)
        for (step, (loss, golden)) in zip(losses, wanted.losses).enumerated()
        where !isClose(loss, golden, atol: 1e-8) {
            Issue.record("the loss of step \(step + 1) is \(loss), PyTorch's \(golden)")
        }
        #expect(weights.map(\.0) == wanted.parameters.map(\.shape))
        for (place, (weight, golden)) in zip(weights, wanted.parameters).enumerated() {
            let norm = weight.1.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(isClose(norm, golden.norm, atol: 0), "parameter \(place)")
            let kept = stride(from: 0, to: weight.1.count, by: golden.stride).map { weight.1[$0] }
            #expect(kept.count == golden.values.count)
            // Of a weight that is nearly 0 the relative error says nothing; it is held to the size of its neighbours.
            let size = norm / Double(weight.1.count).squareRoot()
            for (index, (value, wanted)) in zip(kept, golden.values).enumerated()
            where !isClose(value, wanted, atol: 1e-5 * size) {
                Issue.record("parameter \(place), number \(index * golden.stride) is \(value), PyTorch's \(wanted)")
            }
        }
    }

    @Test(arguments: [
        "program-1-linear", "program-2-relu", "program-3-classes", "program-4-bigmodel", "program-5-64",
        "program-6-csv", "iris", "reviews",
    ])
    func `an example trains to what it requires`(name: String) throws {
        let text = try exampleText("\(name).yaml")
        let recipe = try recipe(text)
        #expect(!recipe.evaluation.require.isEmpty)
        let source = try #require(recipe.data.source.all.first)
        let card = try Job(text, files: [source: example(source)]).finish()
        #expect(card.unmetRequirements == [], "\(card.metrics)")
        #expect(card.metrics["test"]?["loss"]?.isFinite == true)
    }

    @Test func `the CSV program drops rows, takes the first four fifths and changes the training rows only`() throws {
        let recipe = try recipe(exampleText("program-6-csv.yaml"))
        let scratch = try Scratch()
        let file = example("data/program-6-csv.csv")
        let data = try scratch.prepare(recipe, [file])
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").dropFirst()
        let whole = lines.map { $0.split(separator: ",", omittingEmptySubsequences: false) }
            .filter { !$0.contains("") && !$0.contains("NA") }
        #expect(whole.count < lines.count)
        #expect(data.report.cleaning.first?.rowsRemoved == lines.count - whole.count)
        #expect(data.train.count + data.test.count == whole.count)
        #expect(abs(Double(data.train.count) - 0.8 * Double(whole.count)) <= 1)
        let test = try data.test.all()
        guard case .floats(let scaled)? = test.features.first(where: { $0.layout.name == "price" })?.values else {
            throw MartletError(.internal, "the price is not a number")
        }
        let prices = data.preprocessing.original("price", scaled)
        for (price, row) in zip(prices, whole.dropFirst(data.train.count)) {
            #expect(abs(price - (Double(row[3]) ?? .nan)) < 1e-3)
        }
    }
}
