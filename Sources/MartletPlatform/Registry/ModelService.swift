import Foundation
import MartletStore
import MartletWire

/// Models: name@version, immutable, with the data, recipe and job that made them.
public final class ModelService: Sendable {
    /// The newest version of each name.
    public func list(by principal: Principal) async throws -> [ModelInfo] { [] }

    /// Every version of a name, newest first. Throws `notFound`.
    public func versions(of name: String, by principal: Principal) async throws -> [ModelInfo] { [] }

    /// `name` (its newest version) or `name@version`.
    public func show(_ reference: String, by principal: Principal) async throws -> ModelInfo {
        throw MartletError(.unavailable, "soon")
    }

    /// Where a file of the bundle lies on this machine and its length, for the transport to stream.
    public func file(
        _ path: String, of reference: String, by principal: Principal
    ) async throws -> (localPath: String, byteCount: Int) {
        throw MartletError(.unavailable, "soon")
    }

    @discardableResult
    public func delete(_ reference: String, force: Bool = false, by principal: Principal) async throws -> [String] {
        []
    }
}
