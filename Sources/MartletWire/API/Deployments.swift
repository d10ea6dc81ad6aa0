import Foundation

public struct ReplicaInfo: Codable, Sendable, Equatable {
    public enum State: String, Codable, Sendable { case starting, ready, draining, failed }
    public var id: String
    public var state: State
    public var pid: Int32?
    public var restarts: Int
    public var error: String?
    public init(id: String, state: State, pid: Int32?, restarts: Int, error: String? = nil) {
        self.id = id
        self.state = state
        self.pid = pid
        self.restarts = restarts
        self.error = error
    }
}

public struct DeploymentInfo: Codable, Sendable, Equatable {
    public var name: String
    /// `name@version` that answers now.
    public var model: String
    /// What a rollback returns to.
    public var previousModel: String?
    /// The version that is being loaded to take over, and what went wrong with the last one that could not.
    public var nextModel: String?
    public var error: String?
    public var replicas: Int
    public var ready: Bool
    public var replicaStates: [ReplicaInfo]
    /// What a model has to pass before it takes over, while that is not decided.
    public var gate: GateInfo?
    public var createdAt: Date
    public var updatedAt: Date
    public init(name: String, model: String, replicas: Int, ready: Bool, createdAt: Date, updatedAt: Date) {
        self.name = name
        self.model = model
        self.replicas = replicas
        self.ready = ready
        self.replicaStates = []
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
    enum CodingKeys: String, CodingKey {
        case name, model, previousModel = "previous_model", nextModel = "next_model", error, replicas, ready, gate
        case replicaStates = "replica_states", createdAt = "created_at", updatedAt = "updated_at"
    }
}

/// A gate that is not decided: the run of an eval that a model must pass.
public struct GateInfo: Codable, Sendable, Equatable {
    /// `name@version` of what is judged.
    public var model: String
    public var eval: String
    public var run: String
    public init(model: String, eval: String, run: String) {
        self.model = model
        self.eval = eval
        self.run = run
    }
}

/// `POST /api/v1/deployments`.
public struct DeploymentRequest: Codable, Sendable {
    public var model: String
    public var name: String?
    public var replicas: Int?
    /// An eval, by id or name, that the model must pass before it takes over.
    public var gate: String?
    public init(model: String, name: String? = nil, replicas: Int? = nil, gate: String? = nil) {
        self.model = model
        self.name = name
        self.replicas = replicas
        self.gate = gate
    }
}
