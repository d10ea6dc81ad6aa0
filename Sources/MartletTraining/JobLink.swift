import MartletWire

/// How a running job talks to whoever runs it.
public struct JobLink: Sendable {
    /// What the job has been asked to do.
    public enum Stop: Sendable { case pause, cancel }

    public var event: @Sendable (JobEvent) -> Void
    public var progress: @Sendable (JobProgress) -> Void
    /// A point of a tuning job whose bundle lies in the job's folder and can answer as a model.
    public var checkpoint: @Sendable (TunedCheckpoint) -> Void
    /// nil while the job should go on.
    public var stop: @Sendable () -> Stop?
    /// Events that were sent and may not have been kept yet, the oldest first.
    public var unacknowledged: @Sendable () -> [JobEvent]

    /// Asks the models that graders name, and calls the closure a few times a second while it waits: what that throws
    /// ends the wait. Nil where there is nobody to ask.
    public var ask: (@Sendable (ModelQuestions, () throws -> Void) throws -> ModelAnswers)?

    public init(
        event: @escaping @Sendable (JobEvent) -> Void, progress: @escaping @Sendable (JobProgress) -> Void,
        stop: @escaping @Sendable () -> Stop?, unacknowledged: @escaping @Sendable () -> [JobEvent] = { [] },
        checkpoint: @escaping @Sendable (TunedCheckpoint) -> Void = { _ in },
        ask: (@Sendable (ModelQuestions, () throws -> Void) throws -> ModelAnswers)? = nil
    ) {
        self.ask = ask
        self.checkpoint = checkpoint
        self.event = event
        self.progress = progress
        self.stop = stop
        self.unacknowledged = unacknowledged
    }
}

/// How a job ended without failing.
public enum JobOutcome: Sendable {
    case finished(JobResult)
    case paused
    case cancelled
}
