import Foundation
import MartletTensor
import MartletWire

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where a training run is, besides its tensors.
public struct CheckpointState: Codable, Sendable, Equatable {
    /// Optimizer steps done; with the seed it fixes the place in the data and every random number that follows.
    public var step: Int
    /// Sums behind the epoch's running loss, so that a resumed epoch reports what an undisturbed one does.
    public var lossSum: Double
    public var lossCount: Double
    public var best: Best?
    /// Epochs since the watched metric last improved.
    public var epochsWithoutImprovement: Int
    public var secondsTrained: Double
    public var rowsTrained: Int
    /// What the numbers depend on; going on elsewhere may change the last bits.
    public var environment: [String: String]
    public var recipeHash: String
    /// Events of before that nobody may have kept yet: a worker that is killed now would take them with it.
    public var unacknowledged: [JobEvent]? = nil
    /// The step's loss, where it ended an epoch whose measuring was cut off: that is done before the next step.
    public var unmeasuredLoss: Double? = nil

    public struct Best: Codable, Sendable, Equatable {
        public var step: Int
        public var value: Double
    }
}

/// A job's checkpoints: folders `step-N` that hold `tensors.safetensors`, `state.json` and, written last, `manifest.json`
/// with the SHA-256 of both.
///
/// A checkpoint is made in a temporary folder, every file is synced, and the folder is renamed into place: whatever is
/// killed when, there is the old one or the new one. One that does not match its manifest is passed over.
public struct CheckpointStore {
    public let directory: String
    private let keep: Int

    private static let tensorsName = "tensors.safetensors"
    private static let stateName = "state.json"
    private static let manifestName = "manifest.json"

    public init(directory: String, keep: Int) throws {
        self.directory = directory
        self.keep = keep
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasPrefix(".writing-") {
            try FileManager.default.removeItem(atPath: "\(directory)/\(name)")
        }
    }

    /// Writes a checkpoint and removes those that are neither among the newest `keep` nor the best.
    /// A whole one of the same step and recipe is left as it is: it has the same bits, and is never out of its place.
    /// Throws `storageFull` where the disk is full; the earlier ones are untouched then.
    public func write(_ state: CheckpointState, tensors: [(String, Tensor)]) throws {
        if let (old, _) = try? read(state.step), old.recipeHash == state.recipeHash { return }
        let temporary = "\(directory)/.writing-\(state.step)"
        let final = path(of: state.step)
        do {
            try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
            try SafeTensors.write(
                tensors, metadata: ["step": String(state.step)], to: "\(temporary)/\(Self.tensorsName)")
            try DurableFile.write(try JSONEncoder.wire.encode(state), to: "\(temporary)/\(Self.stateName)")
            try DurableFile.sync("\(temporary)/\(Self.tensorsName)")
            let manifest = [
                Self.tensorsName: try ContentHash.ofFile(at: "\(temporary)/\(Self.tensorsName)"),
                Self.stateName: try ContentHash.ofFile(at: "\(temporary)/\(Self.stateName)"),
            ]
            try DurableFile.write(try JSONEncoder.wire.encode(manifest), to: "\(temporary)/\(Self.manifestName)")
            try DurableFile.sync(temporary)
            if FileManager.default.fileExists(atPath: final) { try FileManager.default.removeItem(atPath: final) }
            try DurableFile.rename(temporary, to: final)
        } catch {
            try? FileManager.default.removeItem(atPath: temporary)
            throw DurableFile.explain(error, what: "a checkpoint")
        }
        try prune(newest: state.step, best: state.best?.step)
    }

    /// The names of the checkpoints that are there, whole or not.
    public func names() throws -> [String] { try steps().map { "step-\($0)" } }

    /// The newest checkpoint that is whole, and the names of newer ones that are not.
    public func newest() throws -> (state: CheckpointState, tensors: [String: Tensor], damaged: [String])? {
        var damaged: [String] = []
        for step in try steps().reversed() {
            if let found = try? read(step) { return (found.0, found.1, damaged) }
            damaged.append("step-\(step)")
        }
        return nil
    }

    /// The checkpoint of `step`. Throws where it is not whole.
    public func read(_ step: Int) throws -> (CheckpointState, [String: Tensor]) {
        let folder = path(of: step)
        func damaged(_ name: String, _ how: String) -> MartletError {
            MartletError(.invalidData, "the checkpoint step-\(step) is damaged: \(name) \(how)")
        }
        guard let data = try? Self.read("\(folder)/\(Self.manifestName)"),
            let manifest = try? JSONDecoder.wire.decode([String: String].self, from: data)
        else { throw damaged(Self.manifestName, "is not there or cannot be read") }
        for name in [Self.tensorsName, Self.stateName] {
            guard let hash = try? ContentHash.ofFile(at: "\(folder)/\(name)"), hash == manifest[name] else {
                throw damaged(name, "is not what was written")
            }
        }
        let state = try JSONDecoder.wire.decode(CheckpointState.self, from: Self.read("\(folder)/\(Self.stateName)"))
        let tensors = try SafeTensors(path: "\(folder)/\(Self.tensorsName)").tensors()
        return (state, Dictionary(tensors, uniquingKeysWith: { first, _ in first }))
    }

    private static func read(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

    private func path(of step: Int) -> String { "\(directory)/step-\(step)" }

    private func steps() throws -> [Int] {
        try FileManager.default.contentsOfDirectory(atPath: directory)
            .compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
    }

    /// Later steps than the newest are what a run that went on from before them passed over, so they may not count.
    private func prune(newest: Int, best: Int?) throws {
        let all = try steps()
        let kept = all.filter { $0 <= newest }.suffix(keep)
        for step in all where !kept.contains(step) && (step != best || step > newest) {
            try FileManager.default.removeItem(atPath: path(of: step))
        }
    }
}
