import Foundation
import MartletStore
import MartletWire
import NIOCore

/// Datasets: named, versioned folders of files that training reads.
public final class DatasetService: Sendable {
    /// Starts a new version of `name`; the answer names the upload for the calls below. It ends with `commit`,
    /// `abandon`, or with `serve`.
    public func beginVersion(name: String, by principal: Principal) async throws -> String {
        throw MartletError(.unavailable, "soon")
    }

    /// Streams one file to disk. Throws `invalidRequest` for an unsafe path, `tooLarge`, `storageFull`.
    public func addFile<Body: AsyncSequence & Sendable>(
        upload: String, path: String, body: Body, by principal: Principal
    ) async throws -> TreeFile where Body.Element == ByteBuffer {
        throw MartletError(.unavailable, "soon")
    }

    /// Registers the version and starts the job that describes it (`profileJob`).
    public func commit(upload: String, by principal: Principal) async throws -> DatasetInfo {
        throw MartletError(.unavailable, "soon")
    }

    public func abandon(upload: String, by principal: Principal) async throws {
    }

    /// The newest version of each name, by name.
    public func list(by principal: Principal) async throws -> [DatasetInfo] { [] }

    /// `name` (its newest version) or `name@version`.
    public func show(_ reference: String, by principal: Principal) async throws -> DatasetInfo {
        throw MartletError(.unavailable, "soon")
    }

    /// Deletes `name@version`, or with `name` every version. Throws `conflict` with the list of what needs it, unless
    /// `force`. The answer is what was broken by force.
    @discardableResult
    public func delete(_ reference: String, force: Bool = false, by principal: Principal) async throws -> [String] {
        []
    }
}
