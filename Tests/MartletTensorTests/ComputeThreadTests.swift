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

    @Test(arguments: [0, 1, 2, 7, 100, 1_001], [0, 1, 3, 64, 5_000])
    func workByTurnsIsAllDoneOnce(_ count: Int, _ size: Int) throws {
        try ComputeThread().run {
            let done = UnsafeMutableBufferPointer<Int32>.allocate(capacity: max(1, count))
            done.initialize(repeating: 0)
            defer { done.deallocate() }
            guard let first = done.baseAddress else { return }
            let threads = Torch.threadCount
            defer { try? Torch.setThreadCount(threads) }
            for threads in 1...4 {
                try Torch.setThreadCount(threads)
                Torch.parallel(
                    count, turns: size,
                    { begin, end, context in
                        let done = context?.assumingMemoryBound(to: Int32.self)
                        for place in Int(begin)..<Int(end) { done?[place] += 1 }
                    }, first)
            }
            #expect(done.prefix(count).allSatisfy { $0 == 4 })
        }
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
