import Foundation
import MartletModels
import MartletWire

/// The adapters of a base that are in memory: each is read at its first use, and the ones that were used last stay.
///
/// One that a request uses is never dropped. Any thread may ask; whoever asks for one that is being read waits for it.
public final class AdapterLibrary: @unchecked Sendable {
    // Unchecked: `entries`, `bytes` and `clock` are used under `condition` only.
    public struct Bounds: Sendable {
        /// Bytes of the matrices of all adapters together.
        public var bytes: Int
        public var count: Int
        public init(bytes: Int, count: Int = 64) {
            self.bytes = bytes
            self.count = count
        }
    }

    private struct Entry {
        var bytes: Int
        /// nil while it is being read.
        var weights: AdapterWeights?
        var users = 0
        var lastUsed = 0
    }

    public let bounds: Bounds
    private let sites: AdapterSites
    private let condition = NSCondition()
    private var entries: [String: Entry] = [:]
    private var bytes = 0
    private var clock = 0

    public init(_ sites: AdapterSites, bounds: Bounds) {
        self.sites = sites
        self.bounds = bounds
    }

    /// Adapters in memory, and the bytes of their matrices.
    public var resident: (count: Int, bytes: Int) {
        condition.withLock { (entries.count, bytes) }
    }

    /// An adapter for as long as the lease lives.
    /// - Throws: `invalidRequest` that names what does not fit the base, `invalidData` for a damaged folder,
    ///   `unavailable` where all places are in use.
    func lease(_ reference: AdapterReference) throws -> AdapterLease {
        let key = reference.contentHash
        if let weights = try known(key) { return AdapterLease(key: key, weights: weights, library: self) }
        do {
            let folder = try AdapterFolder(URL(filePath: reference.path))
            let plan = try folder.plan(for: sites)
            try reserve(AdapterWeights.byteCount(plan), for: key)
            let weights = try AdapterWeights(folder, plan, groupCount: sites.groupCount)
            condition.withLock {
                entries[key]?.weights = weights
                condition.broadcast()
            }
            return AdapterLease(key: key, weights: weights, library: self)
        } catch {
            condition.withLock {
                bytes -= entries.removeValue(forKey: key)?.bytes ?? 0
                condition.broadcast()
            }
            guard let error = error as? MartletError else { throw error }
            throw MartletError(
                error.code, "the adapter '\(reference.reference)' cannot be used: \(error.message)", param: "model")
        }
    }

    /// One that is there, now with a user more; nil where the caller is to read it.
    private func known(_ key: String) throws -> AdapterWeights? {
        condition.lock()
        defer { condition.unlock() }
        while let entry = entries[key] {
            guard let weights = entry.weights else {
                condition.wait()
                continue
            }
            use(key)
            return weights
        }
        entries[key] = Entry(bytes: 0)
        use(key)
        return nil
    }

    private func use(_ key: String) {
        clock += 1
        entries[key]?.users += 1
        entries[key]?.lastUsed = clock
    }

    /// Makes room by dropping what nobody uses, the longest unused first.
    private func reserve(_ needed: Int, for key: String) throws {
        condition.lock()
        defer { condition.unlock() }
        guard needed <= bounds.bytes else {
            throw MartletError(
                .tooLarge,
                "it takes \(needed >> 10) KiB, and \(bounds.bytes >> 10) KiB are for adapters; raise "
                    + "language_adapter_bytes")
        }
        while bytes + needed > bounds.bytes || entries.count > bounds.count {
            let idle = entries.filter { $0.value.users == 0 }.min { $0.value.lastUsed < $1.value.lastUsed }
            guard let idle else {
                throw MartletError(
                    .unavailable,
                    "requests use \(entries.count - 1) other adapters with \(bytes >> 10) KiB, and there is no room "
                        + "for one more; try again in a moment")
            }
            bytes -= idle.value.bytes
            entries[idle.key] = nil
        }
        entries[key]?.bytes = needed
        bytes += needed
    }

    fileprivate func release(_ key: String) {
        condition.withLock { entries[key]?.users -= 1 }
    }
}

/// An adapter that a request uses: while this lives, it stays in memory.
final class AdapterLease: Sendable {
    let key: String
    let weights: AdapterWeights
    private let library: AdapterLibrary

    fileprivate init(key: String, weights: AdapterWeights, library: AdapterLibrary) {
        self.key = key
        self.weights = weights
        self.library = library
    }

    deinit { library.release(key) }
}
