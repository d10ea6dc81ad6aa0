import Foundation
import MartletWire

/// Which models must leave so that another fits; decided in values.
struct ModelMemory {
    /// A model that could leave.
    struct Loaded {
        var key: Router.Key
        var bytes: Int
        var idle: Duration
    }
    enum Decision: Equatable {
        /// It fits once these have left, in this order.
        case load(after: [Router.Key])
        /// Everything that could leave is busy.
        case wait
        /// It is larger than the budget by itself, beside what is deployed.
        case tooLarge(needed: Int, available: Int)
    }
    /// Bytes for all models together.
    var budget: Int

    init(_ configuration: Configuration) {
        let memory = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        budget = configuration.modelMemoryBytes > 0 ? configuration.modelMemoryBytes : memory / 4 * 3
    }

    /// `fixed` bytes are taken by what is deployed. Idle models leave first, the one that idles longest before others.
    func decide(needed: Int, fixed: Int, loaded: [Loaded]) -> Decision {
        let available = budget - fixed
        guard needed <= available else { return .tooLarge(needed: needed, available: max(0, available)) }
        var taken = loaded.reduce(0) { $0 + $1.bytes }
        var leaving: [Router.Key] = []
        for model in loaded.filter({ $0.idle > .zero }).sorted(by: { $0.idle > $1.idle }) {
            guard taken + needed > available else { break }
            taken -= model.bytes
            leaving.append(model.key)
        }
        return taken + needed <= available ? .load(after: leaving) : .wait
    }

    /// Before it was loaded once: its weights, and room for the program and the caches.
    static func estimate(_ model: ModelInfo) -> Int {
        let overhead = 256 << 20
        return min(max(0, model.byteCount), .max / 4 - overhead) + overhead
    }
}
