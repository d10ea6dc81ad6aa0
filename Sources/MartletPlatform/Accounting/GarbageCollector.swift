import Foundation
import MartletStore
import MartletWire

/// Finds what takes the disk and removes what nothing refers to.
public actor GarbageCollector {
    /// Admins only.
    public func collect(dryRun: Bool, by principal: Principal) async throws -> GarbageReport {
        throw MartletError(.unavailable, "soon")
    }
}
