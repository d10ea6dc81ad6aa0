import Foundation
import MartletNN
import MartletTensor
import Testing

/// Whether two tensors have one shape and agree within `atol + rtol·|expected|` everywhere; NaN agrees with nothing.
func expectClose(
    _ actual: Tensor?, _ expected: Tensor, rtol: Double, atol: Double, _ name: String,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let actual = try #require(actual, "\(name) is missing", sourceLocation: sourceLocation)
    #expect(actual.shape == expected.shape, "\(name)", sourceLocation: sourceLocation)
    let pairs = zip(try actual.array(of: Double.self), try expected.array(of: Double.self))
    var worst: (excess: Double, actual: Double, expected: Double)?
    for (a, e) in pairs where !(abs(a - e) <= atol + rtol * abs(e)) {
        let excess = abs(a - e)
        if worst.map({ !(excess <= $0.excess) }) ?? true { worst = (excess, a, e) }
    }
    if let worst {
        Issue.record("\(name): \(worst.actual) is not \(worst.expected)", sourceLocation: sourceLocation)
    }
}

/// How close results must be in each type of element.
struct Precision: Sendable, CustomTestStringConvertible {
    let type: ScalarType
    let rtol: Double
    let atol: Double

    static let float64 = Precision(type: .float64, rtol: 1e-9, atol: 1e-10)
    static let float32 = Precision(type: .float32, rtol: 1e-5, atol: 5e-6)
    static let all = [float64, float32]

    var testDescription: String { type.rawValue }
}

/// A file of golden values from PyTorch, made by `scripts/golden/make_golden.py`.
struct Golden {
    private let tensors: [String: Tensor]

    init(_ name: String) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        let file = try SafeTensors(path: folder.appending(path: "\(name).safetensors").path)
        tensors = Dictionary(try file.tensors(), uniquingKeysWith: { first, _ in first })
    }

    var caseNames: Set<String> { Set(tensors.keys.compactMap { $0.split(separator: "/").first.map(String.init) }) }

    func tensor(_ name: String) throws -> Tensor {
        try #require(tensors[name], "no golden value '\(name)'")
    }

    /// The tensors under a prefix, by the rest of their names.
    func group(_ prefix: String) -> [(String, Tensor)] {
        tensors.filter { $0.key.hasPrefix(prefix + "/") }.map { (String($0.key.dropFirst(prefix.count + 1)), $0.value) }
            .sorted { $0.0 < $1.0 }
    }

    /// Holds a module with the golden parameters to the golden output and to the gradients of Σ output·weight.
    func check(
        _ name: String, _ precision: Precision, module: (any Module)? = nil, training: Bool = true,
        _ run: ([Tensor], Forward) throws -> Tensor
    ) throws {
        if let module {
            try module.convert(to: precision.type)
            try module.load(group("\(name)/state"))
        }
        let inputs = try group("\(name)/input").map { _, tensor in
            guard tensor.scalarType.isFloatingPoint else { return tensor }
            return try tensor.to(precision.type).clone().requiresGrad(true)
        }
        #expect(!inputs.isEmpty)
        let output = try run(inputs, Forward(training: training))
        try expect(output, "\(name)/output", precision)
        try output.mul(tensor("\(name)/weight").to(precision.type)).sum().backward()
        for (index, input) in inputs.enumerated() where input.scalarType.isFloatingPoint {
            try expect(input.grad, "\(name)/input_grad/\(index)", precision)
        }
        let parameters = module?.parameters() ?? []
        #expect(parameters.count == group("\(name)/grad").count, "\(name)")
        for item in parameters { try expect(item.parameter.value.grad, "\(name)/grad/\(item.name)", precision) }
        let after = Dictionary(module?.state() ?? [], uniquingKeysWith: { first, _ in first })
        for (key, _) in group("\(name)/after") { try expect(after[key], "\(name)/after/\(key)", precision) }
    }

    func expect(_ actual: Tensor?, _ name: String, _ precision: Precision) throws {
        try expectClose(actual, tensor(name), rtol: precision.rtol, atol: precision.atol, name)
    }
}
