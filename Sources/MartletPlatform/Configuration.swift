import Foundation
import MartletWire

/// What `martlet serve` runs with, as in HOME/config.yaml.
public struct Configuration: Codable, Sendable, Equatable {
    /// Where HTTP listens: `address:port`. Beyond loopback TLS is required.
    public var listen = "127.0.0.1:8080"
    /// Names that clients call this server by beside its own, such as that of a proxy before it; commas between them.
    public var hostNames = ""
    /// Origins whose pages may call this server from a browser, with commas between them: `https://app.example.com`, or
    /// `*` for all. Empty is none but its own.
    public var corsOrigins = ""
    /// PEM files of the certificate chain and its key; empty means no TLS.
    public var tlsCertificate = ""
    public var tlsKey = ""
    /// The engine's program; empty means `martlet-engine` beside this one, or MARTLET_ENGINE.
    public var enginePath = ""
    /// Threads of one training worker, and of one replica; 0 shares out the machine's cores.
    public var workerThreads = 0
    public var replicaThreads = 1
    /// Training jobs that run at once; the others wait. Imports and evaluations have places of their own.
    public var maxRunningJobs = 1
    public var maxSideJobs = 2
    /// Jobs of one project that wait; one more is answered 429.
    public var maxQueuedJobs = 1000
    /// How often a worker is started again without a new checkpoint in between.
    public var maxRestarts = 5
    /// Requests that wait for one replica; one more is answered 503.
    public var replicaQueueLimit = 1024
    public var maxBatch = 64
    /// A request's longest life, from arrival to answer.
    public var requestTimeoutSeconds = 60
    /// After this long without a request a model that is not deployed is unloaded.
    public var modelIdleSeconds = 300
    /// What all loaded models may take, in bytes; models that are not deployed make room for others by turns. 0 is
    /// three quarters of the machine's memory.
    public var modelMemoryBytes = 0
    /// Threads of a language model's replica; 0 is every core.
    public var languageThreads = 0
    /// Sequences of a language model that are computed side by side; the others wait.
    public var maxSequences = 32
    /// Keys and values of a language model's replica, in bytes; 0 lets the engine choose.
    public var languageCacheBytes = 0
    /// The weights' format in a language model's replica: `auto`, or one that `models show` lists.
    public var languagePrecision = "auto"
    /// Adapters that a language model's replica keeps in memory, in bytes; 0 lets the engine choose by the model.
    public var languageAdapterBytes = 0
    /// Most adapters that it keeps; one more takes the place of the one that was unused longest.
    public var maxAdapters = 64
    /// Tokens of prompts that wait for one replica; more are answered 503.
    public var queuedTokenLimit = 1 << 20
    /// The longest life of a text that is generated, from the request's arrival to its end.
    public var generationTimeoutSeconds = 600
    /// Answers that one request may ask for with `n`.
    public var maxChoices = 64
    /// Requests of batches and evals that are under way at once.
    public var backgroundRequests = 16
    /// A YAML file of the endpoints that are told of what ended; empty tells nobody. See docs/batches-and-evals.md.
    public var webhookFile = ""
    /// Hosts that the server may call, with commas between them; empty is none.
    public var outboundHosts = ""
    /// A request's body, other than an upload.
    public var bodyLimitBytes = 64 << 20
    public var uploadLimitBytes = 64 << 30
    public var jsonDepthLimit = 64
    public var headerCountLimit = 100
    public var headerLimitBytes = 32 << 10
    public var headerTimeoutSeconds = 10
    /// A body that comes slower than this, over ten seconds, is given up.
    public var minBodyBytesPerSecond = 1024
    public var maxConnections = 4096
    /// `trace`, `debug`, `info`, `notice`, `warning`, `error`.
    public var logLevel = "info"
    /// How Open Inference Protocol's `GET v2` names this server.
    public var serverName = "martlet"

    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable {
        case listen, hostNames = "host_names", corsOrigins = "cors_origins"
        case tlsCertificate = "tls_certificate", tlsKey = "tls_key", enginePath = "engine_path"
        case workerThreads = "worker_threads", replicaThreads = "replica_threads"
        case maxRunningJobs = "max_running_jobs", maxSideJobs = "max_side_jobs", maxQueuedJobs = "max_queued_jobs",
            maxRestarts = "max_restarts"
        case replicaQueueLimit = "replica_queue_limit", maxBatch = "max_batch"
        case requestTimeoutSeconds = "request_timeout_seconds"
        case modelIdleSeconds = "model_idle_seconds", modelMemoryBytes = "model_memory_bytes"
        case languageThreads = "language_threads", maxSequences = "max_sequences"
        case languageCacheBytes = "language_cache_bytes", languagePrecision = "language_precision"
        case languageAdapterBytes = "language_adapter_bytes", maxAdapters = "max_adapters"
        case queuedTokenLimit = "queued_token_limit", generationTimeoutSeconds = "generation_timeout_seconds"
        case maxChoices = "max_choices"
        case backgroundRequests = "background_requests", webhookFile = "webhook_file", outboundHosts = "outbound_hosts"
        case bodyLimitBytes = "body_limit_bytes", uploadLimitBytes = "upload_limit_bytes"
        case jsonDepthLimit = "json_depth_limit", headerCountLimit = "header_count_limit"
        case headerLimitBytes = "header_limit_bytes", headerTimeoutSeconds = "header_timeout_seconds"
        case minBodyBytesPerSecond = "min_body_bytes_per_second", maxConnections = "max_connections"
        case logLevel = "log_level", serverName = "server_name"
    }

    /// The entries of `host_names`, in lower case.
    public var otherHostNames: [String] { Self.entries(hostNames) }

    /// The entries of `cors_origins`, in lower case as browsers send them.
    public var otherOrigins: [String] { Self.entries(corsOrigins) }

    private static func entries(_ list: String) -> [String] {
        list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces).lowercased() }.filter { !$0.isEmpty }
    }

    /// Where a value came from, for `martlet config`.
    public enum Origin: String, Codable, Sendable {
        case `default`, file, environment, flag
    }
}
