import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import Testing

private let compute = ComputeThread()

@Suite struct LanguageFormatTests {
    @Test(arguments: ["llama", "llama-tied-bias", "llama-head-20"])
    func packedWeightsGiveTheSameLogits(_ name: String) throws {
        try compute.run {
            let tokens = prompt(20)
            let expected = try TinyLanguageModel.make(name).sequenceLogits(tokens)
            let size = try expected.abs().max().item()
            for (format, bound) in [(WeightFormat.dense, 1e-5), (.packed, 1e-4), (.half, 3e-3)] {
                let model = try TinyLanguageModel.make(name)
                let shared = model.sharedParameters()
                #expect(shared.isEmpty == (name != "llama-tied-bias"))
                for group in model.linearGroups {
                    try group.pack(format)
                    try group.dropUnpacked { shared.contains(ObjectIdentifier($0)) }
                }
                let error = try model.sequenceLogits(tokens).sub(expected).abs().max().item()
                #expect(error <= bound * max(1, size), "\(format.rawValue): \(error) of \(size)")
            }
        }
    }

    @Test func aWeightThatSixteenBitsCannotHoldIsRefused() throws {
        try compute.run {
            let layer = try Linear(4, 4, bias: false)
            try layer.weight.assign(Tensor.full([4, 4], 70_000))
            #expect(throws: TensorError.self) { try LinearGroup(layer).pack(.half) }
        }
    }
}
