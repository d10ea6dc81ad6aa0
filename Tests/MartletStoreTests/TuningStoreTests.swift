import Foundation
import MartletStore
import MartletWire
import Testing

@Suite struct TuningStoreTests {
    let path = NSTemporaryDirectory() + "martlet-\(UUID().uuidString.prefix(8)).sqlite"
    let now = Date(timeIntervalSince1970: 1_000_000)

    private func with(_ body: (Store) async throws -> Void) async throws {
        defer { for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + end) } }
        let store = try Store(path: path)
        try await store.insert(ProjectInfo(id: "p", name: "acme", createdAt: now))
        try await store.insert(ProjectInfo(id: "q", name: "other", createdAt: now))
        try await body(store)
    }

    private func tree(_ text: String) throws -> Tree {
        try Tree(files: [TreeFile(path: "a.jsonl", hash: ContentHash.of(text), byteCount: text.utf8.count)])
    }

    private func model(_ name: String, _ text: String) throws -> NewModel {
        NewModel(name: name, tree: try tree(text), card: ModelCard(), signature: Signature())
    }

    private func file(_ id: String, _ tree: Tree, expiresAt: Date? = nil) -> FileInfo {
        FileInfo(
            id: id, filename: "a.jsonl", purpose: .fineTune, byteCount: tree.byteCount, createdAt: now,
            expiresAt: expiresAt, contentHash: tree.hash)
    }

    private func submitTuning(_ store: Store, metadata: JSON? = nil) async throws -> String {
        let id = "ftjob-\(UUID().uuidString.prefix(8))"
        let request = JobRequest(
            kind: .fineTune, recipe: .null, tuning: metadata.map { .object(["metadata": $0]) } ?? [:])
        _ = try await store.submit(
            StoredJob(
                info: JobInfo(id: id, kind: .fineTune, name: "t", state: .queued, createdAt: now), projectID: "p",
                keyID: "k", request: request), inputs: [], repetition: .key(id), bodyHash: id)
        return id
    }

    @Test func `a grader's answer is kept and paid for once, until the job asks something else or is over`()
        async throws
    {
        try await with { store in
            let job = try await submitTuning(store)
            let row = UsageRow(
                hour: now, project: "p", key: "k", kind: "inference", resource: "m@1", requests: 1, rows: 0,
                cpuSeconds: 0, promptTokens: 3, completionTokens: 2)
            func keep(_ answer: String, _ question: String) async throws -> String {
                try await store.keep(graderAnswer: answer, to: question, ofJob: job, usage: [row])
            }
            func paid() async throws -> Int {
                try await store.usage(projectID: "p", from: nil, to: nil).reduce(0) { $0 + $1.requests }
            }
            for (answer, question) in [("7", "one"), ("8", "two")] {
                #expect(try await keep(answer, question) == answer)
            }
            // Whoever asked at the same time gets what counts.
            #expect(try await keep("9", "one") == "7")
            #expect(try await paid() == 2)
            #expect(
                try await store.graderAnswers(ofJob: job, keeping: ["one", "two", "three"]) == ["one": "7", "two": "8"])
            #expect(try await store.graderAnswers(ofJob: job, keeping: ["two"]) == ["two": "8"])
            #expect(try await store.graderAnswers(ofJob: job, keeping: ["one", "two"]) == ["two": "8"])
            try await store.setState(.cancelled, ofJob: job, at: now)
            #expect(try await store.graderAnswers(ofJob: job, keeping: ["two"]) == [:])
            // What was under way then is paid for, and kept for nobody.
            #expect(try await keep("1", "late") == "1")
            #expect(try await paid() == 3)
            #expect(try await store.graderAnswers(ofJob: job, keeping: ["late"]) == [:])
        }
    }

    @Test func aModelStringIsANameAVersionOrAnAlias() async throws {
        try await with { store in
            let job = try await submitTuning(store)
            let registered = try await store.register(
                TunedCheckpoint(step: 3, bundle: "c", metrics: ["train_loss": 0.5]), ofJob: job, id: "ftckpt_1",
                model: try model("ft-tiny", "one"), alias: "ft:tiny:acme::1:ckpt-step-3", at: now)
            #expect(registered?.isNew == true && registered?.checkpoint.model == "ft-tiny@1")
            // The worker repeats what was not acknowledged.
            let again = try await store.register(
                TunedCheckpoint(step: 3, bundle: "c", metrics: [:]), ofJob: job, id: "ftckpt_2",
                model: try model("ft-tiny", "one"), alias: "x", at: now)
            #expect(again?.isNew == false && again?.checkpoint == registered?.checkpoint)
            let results = try tree("step\n")
            let reference = try await store.succeed(
                job: job, model: try model("ft-tiny", "two"), result: .null,
                tuning: TuningOutcome(
                    alias: "ft:tiny:acme::1", file: file("file-results", results), tree: results), at: now)
            #expect(reference == "ft-tiny@2")
            for (name, version) in [
                ("ft-tiny", 2), ("ft-tiny@1", 1), ("ft:tiny:acme::1", 2), ("ft:tiny:acme::1:ckpt-step-3", 1),
            ] {
                #expect(try await store.resolveModel(name, projectID: "p")?.version == version, "\(name)")
                #expect(try await store.resolveModel(name, projectID: "q") == nil, "\(name) of another project")
            }
            for name in ["ft:tiny:acme::", "ft:", "", "ft-tiny@3", "ft-tiny@0", "a:b", "ft:tiny:acme::1' OR 1=1"] {
                #expect(try await store.resolveModel(name, projectID: "p") == nil, "\(name)")
            }
            #expect(try await store.model("ft-tiny", version: 2, projectID: "p")?.aliases == ["ft:tiny:acme::1"])
            // A job that is over takes no more checkpoints.
            let late = try await store.register(
                TunedCheckpoint(step: 4, bundle: "c", metrics: [:]), ofJob: job, id: "ftckpt_3",
                model: try model("ft-tiny", "three"), alias: "y", at: now)
            #expect(late == nil)
            // An alias goes with its version.
            #expect(try await store.deleteModel("ft-tiny", version: 2, projectID: "p", force: false))
            #expect(try await store.resolveModel("ft:tiny:acme::1", projectID: "p") == nil)
            #expect(try await store.modelAliases(projectID: "p").map(\.alias) == ["ft:tiny:acme::1:ckpt-step-3"])
        }
    }

    @Test func aRolloutIsStoredOnlyWhileItsModelAndItsGateAreThere() async throws {
        try await with { store in
            let job = try await submitTuning(store)
            _ = try await store.succeed(job: job, model: try model("m", "one"), result: .null, at: now)
            var live = StoredDeployment(projectID: "p", name: "live", model: "m@1", replicas: 1, createdAt: now)
            live.nextModel = "m@1"
            let gate = StoredGate(
                projectID: "p", name: "live", model: "m@1", replicas: nil, evalID: "e", runID: "r", keyID: "k",
                createdAt: now)
            #expect(try await !store.begin(live, gate: gate))
            #expect(try await store.deployments().isEmpty)
            #expect(try await store.begin(live))
            #expect(try await store.deployments() == [live])
            #expect(try await !store.deleteModel("m", version: 1, projectID: "p", force: false))
            #expect(try await store.deleteModel("m", version: 1, projectID: "p", force: true))
            live.replicas = 2
            #expect(try await !store.begin(live))
            #expect(try await store.deployments().map(\.replicas) == [1])
        }
    }

    @Test func whatAFileOrAnUploadHoldsIsNotGarbage() async throws {
        try await with { store in
            let kept = try tree("kept")
            _ = try await store.insert(file("file-1", kept), tree: kept, asDataset: nil, projectID: "p")
            try await store.insert(
                UploadInfo(
                    id: "upload_1", filename: "b", purpose: .userData, mimeType: "text/plain", byteCount: 10,
                    createdAt: now, expiresAt: now + 3600), projectID: "p")
            let part = UploadPartInfo(
                id: "part_1", uploadID: "upload_1", hash: ContentHash.of("part"), byteCount: 10, createdAt: now)
            #expect(try await store.insert(part))
            #expect(try await store.removeUnreferencedTrees(dryRun: false) == [])
            #expect(
                try await store.referencedBlobs(excluding: []) == [ContentHash.of("kept"), ContentHash.of("part")])
            // Parts of more than twice the upload's bytes are refused.
            var more = part
            (more.id, more.byteCount) = ("part_2", 11)
            #expect(try await store.insert(more) == false)
            try await store.expireUploads(at: now + 3600)
            #expect(try await store.upload("upload_1", projectID: "p")?.status == .expired)
            #expect(try await store.deleteFile("file-1", projectID: "q") == false)
            #expect(try await store.deleteFile("file-1", projectID: "p"))
            #expect(try await store.removeUnreferencedTrees(dryRun: false) == [kept.hash])
            #expect(try await store.referencedBlobs(excluding: []).isEmpty)
        }
    }

    @Test func filesAreListedInOrderAndLeaveInTime() async throws {
        try await with { store in
            for index in 1...5 {
                let tree = try tree("\(index)")
                _ = try await store.insert(
                    file("file-\(index)", tree, expiresAt: index == 3 ? now + 60 : nil), tree: tree, asDataset: nil,
                    projectID: "p")
            }
            func ids(_ after: String?, _ isNewestFirst: Bool, at date: Date) async throws -> [String] {
                try await store.files(
                    projectID: "p", purpose: .fineTune, after: after, limit: 3, isNewestFirst: isNewestFirst, at: date
                ).map(\.id)
            }
            #expect(try await ids(nil, true, at: now) == ["file-5", "file-4", "file-3"])
            #expect(try await ids("file-3", true, at: now) == ["file-2", "file-1"])
            #expect(try await ids("file-1", false, at: now + 60) == ["file-2", "file-4", "file-5"])
            #expect(try await store.file("file-3", projectID: "p", at: now + 59) != nil)
            #expect(try await store.file("file-3", projectID: "p", at: now + 60) == nil)
            #expect(try await store.expiredFiles(at: now + 60).map(\.id) == ["file-3"])
        }
    }

    @Test func aFilesDatasetGoesWithTheLastFileUnlessAModelWasMadeFromIt() async throws {
        try await with { store in
            let one = try tree("one")
            for id in ["file-1", "file-2"] {
                let made = try await store.insert(file(id, one), tree: one, asDataset: "a.jsonl", projectID: "p")
                #expect(made.file.dataset == "a.jsonl@1" && made.isNewDataset == (id == "file-1"))
            }
            #expect(try await store.deleteFile("file-1", projectID: "p"))
            #expect(try await store.dataset("a.jsonl", version: 1, projectID: "p") != nil)
            #expect(try await store.deleteFile("file-2", projectID: "p"))
            #expect(try await store.dataset("a.jsonl", version: 1, projectID: "p") == nil)
        }
    }

    @Test func tuningJobsAreFoundByTheirMetadata() async throws {
        try await with { store in
            let one = try await submitTuning(store, metadata: ["team": "a", "it\"s": "x'y"])
            let two = try await submitTuning(store, metadata: ["team": "b"])
            let none = try await submitTuning(store)
            func ids(_ metadata: [String: String], without: Bool = false) async throws -> [String] {
                try await store.tuningJobs(
                    projectID: "p", after: nil, limit: 10, metadata: metadata, withoutMetadata: without
                ).map(\.info.id)
            }
            #expect(try await ids([:]) == [none, two, one])
            #expect(try await ids(["team": "b"]) == [two])
            #expect(try await ids(["team": "a", "it\"s": "x'y"]) == [one])
            #expect(try await ids(["team": "a", "it\"s": "z"]) == [])
            #expect(try await ids([:], without: true) == [none])
        }
    }
}
