/// What an engine process asks of `serve` (the head of a request frame).
///
/// An engine process dials the control socket with the token from its environment, says `hello`, gets its task,
/// and from then on both ends may send requests on the same connection. When `serve` goes away, the process goes on
/// working, dials again with the same token, says `hello` again and repeats what was not acknowledged.
public enum EngineRequest: Codable, Sendable {
    /// The first message. Reply: `EngineTask`.
    case hello(Hello)
    /// Something happened in a job; kept for good. Reply: `Acknowledged`. Safe to repeat: the key is unique in the job.
    case event(JobEvent)
    /// The state of a job's progress, for bars; only the newest is kept. Reply: `Acknowledged`.
    case progress(JobProgress)
    /// A point of a job that can answer as a model; its bundle lies in the job's folder. Reply: `Acknowledged`. Safe to
    /// repeat: the step is unique in the job.
    case checkpoint(TunedCheckpoint)
    /// The job is done; its results lie in the job's folder. Reply: `Acknowledged`, after which the process ends.
    case finish(JobResult)
    /// The job cannot go on. Reply: `Acknowledged`, after which the process ends.
    case fail(MartletError)
    /// The job has stopped at a checkpoint because it was asked to. Reply: `Acknowledged`.
    case paused
    /// A replica did a real forward pass and can answer. Reply: `Acknowledged`.
    case ready(ReplicaReady)
    /// Questions of a training job's graders. Reply: `ModelAnswers`, however long the models take; other messages go on
    /// meanwhile. A `cancel` with its id ends it.
    case ask(ModelQuestions)

    public struct Hello: Codable, Sendable {
        public var token: String
        public var pid: Int32
        /// Whether the process has its task already and only lost the connection.
        public var isReturning: Bool
        public init(token: String, pid: Int32, isReturning: Bool) {
            self.token = token
            self.pid = pid
            self.isReturning = isReturning
        }
    }
}

/// What `serve` asks of an engine process.
public enum PlatformRequest: Codable, Sendable {
    /// Answer this inference. Body: the client's bytes as they came. Reply: `InferenceReply`, body: the answer's bytes.
    case infer(InferenceRequest)
    /// Go on with this text. Parts: `GenerationEvent`s, the last of them, `done`, as the reply. A cancelled one is
    /// answered too: with `done` that counts what was computed, or with a failure.
    case generate(GenerationRequest)
    /// Reply: `EmbeddingReply`, body: float32 little-endian [inputs, width].
    case embed(EmbeddingRequest)
    /// Reply: `TokenizeReply`.
    case tokenize(TokenizeRequest)
    /// Reply: `DetokenizeReply`.
    case detokenize([Int])
    /// Write a checkpoint and stop. Reply: `Acknowledged` at once; the job says `paused` when it has.
    case pause
    /// Stop now, keep what is there. Reply: `Acknowledged`; the process ends.
    case cancel
    /// Finish what was accepted, then end. Reply: `Acknowledged`.
    case drain
    /// Answer from the compute thread, so that a stuck one shows. Reply: `Acknowledged`.
    case ping
}

public struct Acknowledged: Codable, Sendable {
    public init() {}
}

/// How an engine process learns where to dial, from its environment.
public enum EngineEnvironment {
    public static let socket = "MARTLET_CONTROL_SOCKET"
    public static let token = "MARTLET_ENGINE_TOKEN"
}
