import Foundation
import MartletStore
import MartletWire

/// What a `model` string stands for, for the Open Inference Protocol's metadata.
public struct ServedModel: Sendable, Equatable {
    /// As it was asked for.
    public var name: String
    public var model: ModelInfo
    public var versions: [Int]
    /// Whether a replica can answer at this moment.
    public var isReady: Bool
}

/// Deployments: names that route requests to replicas of model versions.
public actor DeploymentService {
    /// Starts replicas of `request.model`; they take over once they can answer.
    ///
    /// With `wait` it returns then, and throws the reason where they cannot: a first deployment is kept with its
    /// error, an earlier version keeps serving.
    public func deploy(
        _ request: DeploymentRequest, wait: Bool = true, by principal: Principal
    ) async throws -> DeploymentInfo {
        throw MartletError(.unavailable, "soon")
    }

    public func list(by principal: Principal) async throws -> [DeploymentInfo] { [] }

    public func show(_ name: String, by principal: Principal) async throws -> DeploymentInfo {
        throw MartletError(.unavailable, "soon")
    }

    /// 0 replicas stops it answering.
    public func scale(_ name: String, to replicas: Int, by principal: Principal) async throws -> DeploymentInfo {
        throw MartletError(.unavailable, "soon")
    }

    /// Back to the version before.
    public func rollback(_ name: String, by principal: Principal) async throws -> DeploymentInfo {
        throw MartletError(.unavailable, "soon")
    }

    public func delete(_ name: String, by principal: Principal) async throws {}

    /// Answers one request; `model` is a deployment, a model (its newest version) or `name@version`.
    ///
    /// The body goes to the replica as it came. Throws `notFound`, `unavailable` (no replica, or all queues full),
    /// `deadlineExceeded`, and what the replica throws.
    public nonisolated func infer(
        model: String, request: InferenceRequest, body: [UInt8], by principal: Principal
    ) async throws -> (InferenceReply, [UInt8]) {
        throw MartletError(.unavailable, "soon")
    }

    /// What `model` stands for, and whether it is ready; nothing is loaded by asking.
    public func describe(_ model: String, by principal: Principal) async throws -> ServedModel {
        throw MartletError(.unavailable, "soon")
    }

    /// All that `infer` would answer for: deployments, then models.
    public func servable(by principal: Principal) async throws -> [ServedModel] { [] }
}
