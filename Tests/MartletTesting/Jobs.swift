import Foundation
import MartletWire

/// What a job's history must look like, whatever happened to its workers.
public enum JobHistory {
    /// What is wrong with it; empty where each key stands once, sequences only grow, and every epoch and every
    /// checkpoint of a job of `epochs` epochs, with `stepsPerEpoch` steps each, is there.
    public static func faults(_ events: [JSON], epochs: Int, stepsPerEpoch: Int, checkpointEvery: Int) -> [String] {
        var faults: [String] = []
        let keys = events.compactMap { $0["event"]?["key"]?.string }
        let sequences = events.compactMap { $0["sequence"]?.int }
        if keys.count != events.count { faults.append("an event has no key") }
        for (key, uses) in Dictionary(grouping: keys, by: { $0 }) where uses.count > 1 {
            faults.append("\(key) is there \(uses.count) times")
        }
        if zip(sequences, sequences.dropFirst()).contains(where: { $0 >= $1 }) {
            faults.append("sequences do not grow")
        }
        let known = Set(keys)
        let steps = epochs * stepsPerEpoch
        let wanted =
            (1...epochs).map { "epoch-\($0)" }
            + stride(from: checkpointEvery, to: steps, by: checkpointEvery).map { "checkpoint-\($0)" }
        faults += wanted.filter { !known.contains($0) }.map { "\($0) is missing" }
        return faults
    }
}

/// Counts the workers of a home again and again, on a thread of its own.
public final class WorkerWatch: @unchecked Sendable {
    // Only read once `stop` has joined the thread; the lock guards both ends.
    private let lock = NSLock()
    private var isStopping = false
    private var hasStopped = false
    private var most = 0

    public init(_ home: TestHome) {
        let path = home.home
        Thread.detachNewThread { [self] in
            while !lock.withLock({ isStopping }) {
                let count = ProcessTable.engines(home: path, mode: "worker").count
                lock.withLock { most = max(most, count) }
                Thread.sleep(forTimeInterval: 0.005)
            }
            lock.withLock { hasStopped = true }
        }
    }

    /// The most workers that were alive at one time.
    public func stop() throws -> Int {
        lock.withLock { isStopping = true }
        try waitUntil("the watch's end", seconds: 60) { lock.withLock { hasStopped } }
        return lock.withLock { most }
    }
}
