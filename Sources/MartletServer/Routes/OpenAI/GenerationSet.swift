import MartletPlatform
import MartletWire

/// The answers to the prompts of one request, as their events come.
struct GenerationSet: Sendable {
    /// An event of the prompt with this number.
    struct Item: Sendable {
        var prompt: Int
        var event: GenerationEvent
    }
    /// The first generation, for what a response says of the model.
    let generation: Generation
    let first: Item
    /// What follows, nil for each tick; ends once every prompt is done, or throws.
    let rest: AsyncThrowingStream<Item?, any Error>
    /// Wakes who reads the rest, though nothing has come.
    let tick: @Sendable () -> Void
    let end: @Sendable (MartletError) -> Void

    /// Prompts of one request that are at the replica at a time.
    private static let width = 64

    /// Returns once the first prompt has its place, so that what is wrong with the request becomes its status.
    /// - Parameter renamed: a fault of the request with its fields as they are called where it was sent.
    static func begin(
        _ requests: [GenerationRequest], model: String, deployments: DeploymentService, by principal: Principal,
        renamed: @escaping @Sendable (any Error) -> any Error = { $0 }
    ) async throws -> GenerationSet {
        guard let request = requests.first else {
            throw MartletError(.invalidRequest, "there is no prompt; send one", param: "prompt")
        }
        let generation: Generation
        do {
            generation = try await deployments.generate(model: model, request: request, by: principal)
        } catch {
            throw renamed(error)
        }
        let (stream, continuation) = AsyncThrowingStream<Item?, any Error>.makeStream()
        let work = Task {
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await pass(generation, prompt: 0, to: continuation) }
                    for index in requests.indices.dropFirst() {
                        if index >= Self.width { try await group.next() }
                        group.addTask {
                            let next = try await deployments.generate(
                                model: model, request: requests[index], by: principal)
                            try await pass(next, prompt: index, to: continuation)
                        }
                    }
                    try await group.waitForAll()
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: renamed(error))
            }
        }
        continuation.onTermination = { _ in work.cancel() }
        for try await case let item? in stream {
            return GenerationSet(
                generation: generation, first: item, rest: stream, tick: { continuation.yield(nil) },
                end: { error in
                    continuation.finish(throwing: error)
                    work.cancel()
                })
        }
        throw MartletError(.cancelled, "the client left before the answer was there")
    }

    private static func pass(
        _ generation: Generation, prompt: Int, to continuation: AsyncThrowingStream<Item?, any Error>.Continuation
    ) async throws {
        for try await event in generation.events { continuation.yield(Item(prompt: prompt, event: event)) }
    }

    /// All events to the end. Throws `cancelled` where the caller is cancelled before.
    func collect(_ take: (Item) -> Void) async throws {
        take(first)
        for try await case let item? in rest { take(item) }
        guard !Task.isCancelled else {
            throw MartletError(.cancelled, "the client left before the answer was there")
        }
    }
}
