import MartletTensor
import Testing

private actor Owner {
    private let thread: ComputeThread
    private var total: Tensor?

    init(_ thread: ComputeThread) { self.thread = thread }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    func add(_ number: Float) throws -> Bool {
        let tensor = try Tensor([number])
        total = try total?.add(tensor) ?? tensor
        return thread.isCurrent
    }

    func value() throws -> Double { try total?.sum().item() ?? 0 }
}

@Suite struct ComputeThreadTests {
    @Test func anActorOnItRunsOnItsThread() async throws {
        let owner = Owner(ComputeThread())
        for number in 1...100 { #expect(try await owner.add(Float(number))) }
        #expect(try await owner.value() == 5050)
    }

    @Test func workIsRunInPlaceAndItsErrorsComeBack() throws {
        let thread = ComputeThread()
        #expect(!thread.isCurrent)
        let sum = try thread.run {
            try thread.run { try Tensor.ones([3]).sum().item() }
        }
        #expect(sum == 3)
        #expect(throws: TensorError.self) { try thread.run { _ = try Tensor.zeros([2]).select(0, 9) } }
    }
}
