import Foundation
import MartletTensor
import Testing

@Suite struct TensorTests {
    @Test func elementsComeBackAsTheyWentIn() throws {
        let x = try Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])
        #expect(x.shape == [2, 3])
        #expect(x.rank == 2 && x.count == 6 && x.byteCount == 24)
        #expect(x.scalarType == .float32 && x.device == .cpu)
        #expect(try x.transpose(0, 1).array(of: Float.self) == [1, 4, 2, 5, 3, 6])
        #expect(try x.array(of: Int64.self) == [1, 2, 3, 4, 5, 6])
        #expect(try x.select(0, 1).array(of: Double.self) == [4, 5, 6])
        #expect(try x.sum().item() == 21)
    }

    @Test func everyElementTypeSurvivesARoundTrip() throws {
        for type in ScalarType.allCases {
            let x = try Tensor([0, 1, 1, 0] as [Float], shape: [4]).to(type)
            #expect(x.scalarType == type)
            #expect(x.byteCount == 4 * type.size)
            #expect(try x.array(of: Float.self) == [0, 1, 1, 0])
            let copy = try x.withUnsafeBytes { try Tensor(bytes: $0, shape: [4], type: type) }
            #expect(try copy.equals(x))
        }
    }

    @Test func arithmeticBroadcastsAndTakesNumbers() throws {
        let x = try Tensor([1, 2, 3, 4] as [Double], shape: [2, 2])
        let row = try Tensor([10, 20] as [Double])
        #expect(try x.add(row).array(of: Double.self) == [11, 22, 13, 24])
        #expect(try x.mul(2).sub(1).array(of: Double.self) == [1, 3, 5, 7])
        #expect(try x.matmul(x).array(of: Double.self) == [7, 10, 15, 22])
        #expect(try x.clamp(min: 2, max: 3).array(of: Double.self) == [2, 2, 3, 3])
        #expect(try x.mean([0]).array(of: Double.self) == [2, 3])
        #expect(try Tensor.cat([x, x], axis: 1).shape == [2, 4])
        #expect(try Tensor.stack([x, x]).shape == [2, 2, 2])
        #expect(try x.argmax().array(of: Int64.self) == [1, 1])
        #expect(try Tensor.where(x.gt(2), x, x.zerosLike()).array(of: Double.self) == [0, 0, 3, 4])
        #expect(try Tensor.arange(to: 5).array(of: Int64.self) == [0, 1, 2, 3, 4])
    }

    @Test func gradientsFollowTheChainRule() throws {
        let x = try Tensor([1, 2, 3] as [Double]).requiresGrad(true)
        try x.mul(x).sum().backward()
        #expect(try x.grad?.array(of: Double.self) == [2, 4, 6])
        try x.mul(3).sum().backward()
        #expect(try x.grad?.array(of: Double.self) == [5, 7, 9])
        Tensor.clearGradients(of: [x])
        #expect(x.grad == nil)
        let found = try x.mul(2).sum().gradients(of: [x])
        #expect(try found[0]?.array(of: Double.self) == [2, 2, 2])
        #expect(x.grad == nil)
        #expect(try Tensor.withoutGradients { try x.mul(2).requiresGrad } == false)
        #expect(try x.mul(2).requiresGrad)
    }

    @Test func memoryIsGivenBackWhenTheLastTensorGoes() async throws {
        let released = Flag()
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 64)
        memory.initializeMemory(as: Float.self, repeating: 7)
        var x: Tensor? = try Tensor(wrapping: memory, shape: [4], type: .float32) { released.set() }
        var view: Tensor? = try x?.slice(0, from: 1)
        x = nil
        #expect(!released.isSet)
        #expect(try view?.array(of: Float.self) == [7, 7, 7])
        view = nil
        #expect(released.isSet)
        memory.deallocate()
    }
}

@Suite struct TensorErrorTests {
    @Test func aShapeThatDoesNotFitIsAnErrorWithLibtorchsWords() throws {
        let a = try Tensor.zeros([2, 3])
        let error = try #require(throws: TensorError.self) { try a.matmul(a) }
        #expect(error.operation == "aten::matmul")
        #expect(error.message.contains("2x3"))
        #expect(!error.message.contains("Exception raised from"))
        #expect(!error.message.contains("frame #"))
    }

    @Test func classesOfFailureAreToldApart() throws {
        let x = try Tensor.zeros([2])
        #expect(try #require(throws: TensorError.self) { try x.select(0, 7) }.code == .index)
        #expect(try #require(throws: TensorError.self) { try Op("aten::relu").tensor(.int(3)) }.code == .type)
        #expect(try #require(throws: TensorError.self) { try Op("aten::relu").tensor() }.code == .type)
        #expect(try #require(throws: TensorError.self) { try Op("aten::no_such").tensor() }.code == .value)
        let huge = try #require(throws: TensorError.self) { try Tensor.empty([1 << 46]) }
        #expect(huge.code == .outOfMemory)
        #expect(huge.martletError.code == .outOfMemory)
    }

    @Test func shapesWhoseProductOverflowsAllocateNothing() throws {
        for shape in [[1 << 31, 1 << 31, 8], [Int.max, 2], [0, Int.max, Int.max], [-1], [1 << 61, 4]] {
            #expect(throws: TensorError.self) { try Tensor.empty(shape) }
            #expect(throws: TensorError.self) { try Tensor([1] as [Float], shape: shape) }
        }
        #expect(throws: TensorError.self) { try Tensor([1, 2, 3] as [Float], shape: [2]) }
    }

    @Test func devicesAreReadFromText() {
        #expect(Device("cpu") == .cpu)
        #expect(Device("cuda") == .cuda(0))
        #expect(Device("cuda:3") == .cuda(3))
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:999", "CPU"] { #expect(Device(text) == nil) }
    }
}

final class Flag: @unchecked Sendable {
    // Guarded by the lock.
    private var value = false
    private let lock = NSLock()
    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
}
