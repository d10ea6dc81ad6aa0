import MartletWire
import Synchronization

/// Which replicas answer for which name: read by every request, written by the deployment service.
final class Router: Sendable {
    struct Key: Hashable, Sendable {
        var project: String
        var name: String
    }
    private struct Recent: Sendable {
        weak var group: ReplicaGroup?
        var until: ContinuousClock.Instant
    }
    private let groups = Mutex<[Key: ReplicaGroup]>([:])
    /// What names of models that are not deployed stood for a moment ago.
    private let recent = Mutex<[Key: Recent]>([:])

    /// Names after which those of before the last second are forgotten.
    private static let recentLimit = 1024

    func group(_ key: Key) -> ReplicaGroup? { groups.withLock { $0[key] } }
    func set(_ group: ReplicaGroup?, for key: Key) { groups.withLock { $0[key] = group } }

    func note(_ group: ReplicaGroup, for key: Key) {
        recent.withLock { recent in
            // One model has as many names as clients write versions.
            if recent.count >= Self.recentLimit { recent = recent.filter { $0.value.until > .now } }
            recent[key] = Recent(group: group, until: .now + .seconds(1))
        }
    }

    /// As `group`, or what it was within the last second: enough to tell whether there is room.
    func likelyGroup(_ key: Key) -> ReplicaGroup? {
        group(key) ?? recent.withLock { recent in recent[key].flatMap { $0.until > .now ? $0.group : nil } }
    }
}
