import MartletWire

/// Carries out what a `WorkMachine` decides, until it ends or the server stops.
actor WorkRun<Unit: WorkUnit> {
    enum Outcome: Sendable {
        /// Its result is stored.
        case finished
        case busy
        /// Its project may not ask now.
        case held
        case dropped
    }

    /// What one kind of work brings.
    struct Work: Sendable {
        /// Pieces without a result behind a number, in order.
        var load: @Sendable (_ after: Int, _ count: Int) async throws -> [Unit]
        var perform: @Sendable (_ unit: Unit, _ tries: Int) async throws -> Outcome
        /// Writes what there is; after that it is over.
        var end: @Sendable (WorkMachine<Unit>.Ending) async throws -> Void
    }
    private var machine: WorkMachine<Unit>
    private let work: Work
    private let gate: BackgroundGate
    private let clock: PlatformClock
    /// What failed in the server itself, for its log.
    private let note: @Sendable (any Error) -> Void
    private var tasks: [Int: Task<Void, Never>] = [:]
    /// What there is one of at a time: a run that waits for weeks must not pile up what is over.
    private enum Step: Hashable { case load, pause, drain, end }
    private var steps: [Step: Task<Void, Never>] = [:]
    private var isStopped = false
    private var whenOver: (@Sendable () -> Void)?

    private static var retryPause: Duration { .seconds(1) }
    private static var drainTime: Duration { .seconds(5) }

    init(
        _ machine: WorkMachine<Unit>, _ work: Work, gate: BackgroundGate, clock: PlatformClock,
        note: @escaping @Sendable (any Error) -> Void, whenOver: @escaping @Sendable () -> Void
    ) {
        self.machine = machine
        self.work = work
        self.gate = gate
        self.clock = clock
        self.note = note
        self.whenOver = whenOver
    }

    func handle(_ event: WorkMachine<Unit>.Event) {
        guard !isStopped else { return }
        for action in machine.handle(event) { carryOut(action) }
    }

    private func carryOut(_ action: WorkMachine<Unit>.Action) {
        switch action {
        case .run(let unit, let tries):
            tasks[unit.number] = Task { await self.run(unit, tries: tries) }
        case .load(let after, let count):
            steps[.load] = Task {
                guard let units = await self.untilDone({ try await self.work.load(after, count) }) else { return }
                self.handle(.loaded(units))
            }
        case .pause(let milliseconds): steps[.pause] = later(.milliseconds(milliseconds), .pauseOver)
        case .drain:
            for task in tasks.values { task.cancel() }
            steps[.drain] = later(Self.drainTime, .drainOver)
        case .end(let ending):
            steps[.end] = Task {
                guard await self.untilDone({ try await self.work.end(ending) }) != nil else { return }
                self.over()
            }
        }
    }

    private func later(_ time: Duration, _ event: WorkMachine<Unit>.Event) -> Task<Void, Never> {
        Task {
            guard (try? await self.clock.sleep(time)) != nil else { return }
            self.handle(event)
        }
    }

    private func run(_ unit: Unit, tries: Int) async {
        var event = WorkMachine<Unit>.Event.dropped(unit.number)
        if await gate.acquire() {
            do {
                switch try await work.perform(unit, tries) {
                case .finished: event = .finished(unit.number)
                case .busy: event = .busy(unit.number)
                case .held: event = .held(unit.number)
                case .dropped: break
                }
            } catch {
                note(error)
                event = Task.isCancelled ? .dropped(unit.number) : .busy(unit.number)
            }
            await gate.release()
        }
        tasks[unit.number] = nil
        handle(event)
    }

    /// Again and again until it is done: a full disk must not lose what was worked for. Nil where the server stops.
    private func untilDone<Value: Sendable>(_ body: @Sendable () async throws -> Value) async -> Value? {
        while !isStopped {
            do {
                return try await body()
            } catch {
                note(error)
                guard (try? await clock.sleep(Self.retryPause)) != nil else { return nil }
            }
        }
        return nil
    }

    private func over() {
        for task in steps.values { task.cancel() }
        steps = [:]
        whenOver?()
        whenOver = nil
    }

    /// Ends without an ending: the next `serve` goes on.
    func stop() async {
        isStopped = true
        let running = Array(tasks.values) + Array(steps.values)
        for task in running { task.cancel() }
        for task in running { await task.value }
    }
}
