import Foundation
import MartletTensor
import Testing

@Suite struct OpTests {
    /// Every operator that some source file names, in whichever module.
    private static func declaredNames() throws -> Set<String> {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Sources")
        let files = try #require(FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil))
        var names = Set<String>()
        for case let file as URL in files where file.pathExtension == "swift" {
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
                guard !line.contains("///") else { continue }
                for match in line.matches(of: #/Op\("([^"]+)"\)/#) { names.insert(String(match.1)) }
            }
        }
        return names
    }

    @Test func everyDeclaredOperatorExistsInThisLibtorch() throws {
        let names = try Self.declaredNames()
        #expect(names.count > 100)
        for name in names {
            #expect(Op(name).exists, "\(name)")
            #expect(Op(name).schema?.hasPrefix(name) == true)
        }
        #expect(!Op("aten::no_such_operator").exists)
    }

    @Test func numbersBecomeWhatTheSchemaAsksFor() throws {
        let x = try Tensor.ones([1, 1, 4, 4])
        // An integer for a floating-point argument, and one number for a list of two.
        #expect(try Op("aten::leaky_relu").tensor(.tensor(x.neg()), .int(2)).sum().item() == -32)
        #expect(try Op("aten::avg_pool2d").tensor(.tensor(x), .int(2)).shape == [1, 1, 2, 2])
        #expect(try Op("aten::sum.dim_IntList").tensor(.tensor(x), 3).shape == [1, 1, 4])
        #expect(try Op("aten::add.Tensor").tensor(.tensor(x), .tensor(x), 3).sum().item() == 64)
        #expect(throws: TensorError.self) { try Op("aten::unsqueeze").tensor(.tensor(x), 1.5) }
    }

    @Test func resultsKeepTheirKinds() throws {
        let x = try Tensor([3, 1, 2] as [Float])
        let sorted = try Op("aten::sort").call(.tensor(x))
        #expect(sorted.count == 2)
        #expect(try sorted[1].tensor?.array(of: Int64.self) == [1, 2, 0])
        #expect(try x.split(2).map(\.shape) == [[2], [1]])
        guard case .bool(true)? = try Op("aten::equal").call(.tensor(x), .tensor(x)).first else {
            Issue.record("equal does not give a boolean")
            return
        }
        #expect(throws: TensorError.self) { try Op("aten::sort").tensor(.tensor(x)) }
    }

    @Test func listsWithGapsAndTextPass() throws {
        let x = try Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])
        let rows = try Tensor([1, 0] as [Int64])
        let picked = try Op("aten::index.Tensor").tensor(.tensor(x), .optionalTensors([nil, rows]))
        #expect(try picked.array(of: Float.self) == [2, 1, 4, 3])
        let summed = try Op("aten::einsum").tensor(.string("ij,ij->i"), .tensors([x, x]))
        #expect(try summed.array(of: Float.self) == [5, 25])
    }

    @Test func packedWeightsPassAsOpaqueObjects() throws {
        let weight = try Tensor.ones([8, 16])
        let bias = try Tensor.zeros([8])
        let packed = try Op("quantized::linear_prepack_fp16").call(.tensor(weight), .tensor(bias))
        guard case .object? = packed.first else {
            Issue.record("no object came back")
            return
        }
        let y = try Op("quantized::linear_dynamic_fp16").tensor(.tensor(try Tensor.ones([2, 16])), packed[0])
        #expect(try y.array(of: Float.self) == [Float](repeating: 16, count: 16))
    }
}
