import MartletWire
import Synchronization

/// Which replicas answer for which name: read by every request, written by the deployment service.
final class Router: Sendable {
    struct Key: Hashable, Sendable {
        var project: String
        var name: String
    }
    private let groups = Mutex<[Key: ReplicaGroup]>([:])

    func group(_ key: Key) -> ReplicaGroup? { groups.withLock { $0[key] } }
    func set(_ group: ReplicaGroup?, for key: Key) { groups.withLock { $0[key] = group } }
}
