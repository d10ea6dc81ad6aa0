import Foundation
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// The files of a run's checkpoints, whatever is killed or damaged when.
@Suite struct CheckpointStoreTests {
    private static func state(_ step: Int, best: Int? = nil, recipe: String = "r") throws -> CheckpointState {
        let best = best.map { "{\"step\":\($0),\"value\":0.5}" } ?? "null"
        let text = """
            {"step":\(step),"lossSum":1.5,"lossCount":2,"best":\(best),"epochsWithoutImprovement":0,"secondsTrained":0.25,
             "rowsTrained":64,"environment":{},"recipeHash":"\(recipe)"}
            """
        return try JSONDecoder().decode(CheckpointState.self, from: Data(text.utf8))
    }

    private static func write(_ store: CheckpointStore, _ step: Int, best: Int? = nil) throws {
        try store.write(state(step, best: best), tensors: [("model.w", Tensor([Float(step), 0.1, -0.0], shape: [3]))])
    }

    private static func folders(_ store: CheckpointStore) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: store.directory).sorted()
    }

    @Test func `what is read is what was written`() throws {
        let scratch = try Scratch()
        try onCompute {
            let store = try CheckpointStore(directory: scratch.path + "/c", keep: 3)
            #expect(try store.newest() == nil)
            try Self.write(store, 7)
            let found = try #require(try store.newest())
            #expect(found.state == (try Self.state(7)))
            #expect(found.damaged == [])
            let values = try #require(found.tensors["model.w"]).array(of: Float.self)
            #expect(values.map(\.bitPattern) == [Float(7), 0.1, -0.0].map(\.bitPattern))
        }
    }

    @Test func `the newest and the best stay`() throws {
        let scratch = try Scratch()
        try onCompute {
            let store = try CheckpointStore(directory: scratch.path + "/c", keep: 2)
            for step in [10, 20, 30, 40] { try Self.write(store, step, best: 10) }
            #expect(try Self.folders(store) == ["step-10", "step-30", "step-40"])
            try Self.write(store, 50, best: 50)
            #expect(try Self.folders(store) == ["step-40", "step-50"])
        }
    }

    @Test(arguments: [
        "tensors.safetensors truncated", "tensors.safetensors flipped", "tensors.safetensors missing",
        "state.json truncated", "state.json flipped", "state.json missing", "manifest.json truncated",
        "manifest.json flipped", "manifest.json missing",
    ])
    func `a damaged checkpoint is passed over for the one before it`(damage: String) throws {
        let scratch = try Scratch()
        try onCompute {
            let store = try CheckpointStore(directory: scratch.path + "/c", keep: 3)
            for step in [1, 2, 3] { try Self.write(store, step) }
            let words = damage.split(separator: " ")
            let file = URL(filePath: "\(store.directory)/step-3/\(words[0])")
            var data = try Data(contentsOf: file)
            switch words[1] {
            case "truncated": try data.dropLast(5).write(to: file)
            case "flipped":
                data[data.count / 2] ^= 0x10
                try data.write(to: file)
            default: try FileManager.default.removeItem(at: file)
            }
            let found = try #require(try store.newest())
            #expect(found.state.step == 2)
            #expect(found.damaged == ["step-3"])
            #expect(throws: (any Error).self) { try store.read(3) }
        }
    }

    @Test func `a damaged newest one never pushes a whole one out`() throws {
        let scratch = try Scratch()
        try onCompute {
            let store = try CheckpointStore(directory: scratch.path + "/c", keep: 1)
            try Self.write(store, 30)
            try FileManager.default.removeItem(atPath: "\(store.directory)/step-30/manifest.json")
            // The run starts again, and is behind the damaged one for a while.
            for step in [10, 20] {
                try Self.write(store, step)
                #expect(try store.newest()?.state.step == step)
            }
        }
    }

    @Test func `writing a step again never leaves none`() throws {
        let scratch = try Scratch()
        try onCompute {
            let store = try CheckpointStore(directory: scratch.path + "/c", keep: 1)
            try Self.write(store, 5)
            let before = try FileManager.default.attributesOfItem(atPath: "\(store.directory)/step-5")[
                .systemFileNumber]
            try Self.write(store, 5)
            let after = try FileManager.default.attributesOfItem(atPath: "\(store.directory)/step-5")[.systemFileNumber]
            // The same folder: it was not taken away for a moment in which a kill leaves nothing.
            #expect(before as? NSNumber == after as? NSNumber)
            #expect(try store.newest()?.state.step == 5)
        }
    }

    @Test func `what a kill left half written is cleared away`() throws {
        let scratch = try Scratch()
        try onCompute {
            let path = scratch.path + "/c"
            try Self.write(try CheckpointStore(directory: path, keep: 2), 4)
            try FileManager.default.copyItem(atPath: path + "/step-4", toPath: path + "/.writing-9")
            try FileManager.default.removeItem(atPath: path + "/.writing-9/manifest.json")
            let store = try CheckpointStore(directory: path, keep: 2)
            #expect(try Self.folders(store) == ["step-4"])
            #expect(try store.newest()?.state.step == 4)
        }
    }

    #if os(Linux)
        @Test(.enabled(if: geteuid() == 0, "mounting a small disk takes root"))
        func `a full disk is told as one and leaves the earlier checkpoint`() throws {
            let scratch = try Scratch()
            let disk = scratch.path + "/disk"
            try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
            guard mount("tmpfs", disk, "tmpfs", 0, "size=256k") == 0 else { return }
            defer { umount(disk) }
            try onCompute {
                let store = try CheckpointStore(directory: disk + "/c", keep: 3)
                try Self.write(store, 1)
                let large = try Tensor.zeros([200_000])
                expectFault(.storageFull, ["full"]) {
                    try store.write(Self.state(2), tensors: [("model.w", large)])
                }
                #expect(try Self.folders(store) == ["step-1"])
                #expect(try store.newest()?.state.step == 1)
                // The room that the failed one took is free again.
                try Self.write(store, 3)
                #expect(try store.newest()?.state.step == 3)
            }
        }
    #endif
}
