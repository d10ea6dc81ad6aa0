import Foundation
import MartletData
import MartletModels
import MartletTesting
import MartletTraining
import MartletWire
import Testing

/// A job whose data has bad rows fails with the first of them and leaves a file of all (M12).
@Suite struct BadRowJobTests {
    private static let text = """
        name: line
        data: {source: line.csv, split: {train: 0.5, validation: 0.25, test: 0.25, seed: 1}}
        inputs: {x: number}
        outputs: {y: number}
        training: {epochs: 1}
        """

    private static func entries(_ directory: String) throws -> [JSON] {
        try String(contentsOfFile: "\(directory)/\(JobFile.badRows)", encoding: .utf8).split(separator: "\n")
            .map { try JSONParser.parse(String($0)) }
    }

    @Test func `M12: training on a table`() throws {
        var lines = (0..<40).map { "\($0),\(2 * $0)" }
        lines[7] = "seven,14"
        lines[9] = "9"
        lines[30] = "30,"
        let job = try Job(Self.text, data: ["line.csv": "x,y\n" + lines.joined(separator: "\n") + "\n"])
        let told = Told()
        let error = try #require(
            expectFault(
                .invalidData, ["line.csv, line 11: the row has 1 cells", "3 bad rows", "martlet jobs errors job-1"]
            ) { _ = try job.finish(told) })
        #expect(error.message.hasPrefix("line.csv, line 11"))
        let rows = try Self.entries(job.directory)
        #expect(rows.map { $0["line"] } == [9, 11, 32])
        #expect(rows[0]["file"] == "line.csv" && rows[0]["column"] == "x" && rows[0]["value"] == "seven")
        #expect(rows[2]["reason"]?.string?.contains("there is no value") == true)
        let event = try #require(told.event("bad-rows"))
        #expect(event.level == "error" && event.data["count"] == 3 && event.data["is_all"] == true)
        #expect(event.data["rows"]?.array?.count == 3)
    }

    @Test func `M12: examples to fine-tune on, 20 told and all kept`() throws {
        let good = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        let bad = #"{"messages": [{"role": "robot", "content": "a"}]}"#
        let lines = [good] + Array(repeating: bad, count: 30) + [good]
        let test = try TuningTest(
            "name: tuned\nbase: tiny\ndata: {source: {train: lines.jsonl}}\ntraining: {steps: 1}",
            ["lines.jsonl": lines.joined(separator: "\n")])
        expectFault(.invalidData, ["lines.jsonl, line 2: ", "line 21: ", "stopped after 20 faults", "30 bad rows"]) {
            _ = try test.finish()
        }
        let rows = try Self.entries(test.directory)
        #expect(rows.count == 30 && rows.last?["line"] == 31)
        #expect(rows[0]["column"]?.string?.contains("role") == true)
        #expect(rows[0]["value"]?.string?.hasPrefix(#"{"messages""#) == true)
    }

    @Test(arguments: ["characters", "{type: bpe, vocabulary_size: 300}"])
    func `M12: a text to learn from`(tokenizer: String) throws {
        let scratch = try Scratch()
        let good = Array("the swift is small\n".utf8)
        let path = try scratch.write("poem.txt", good + [0xFF, 0x0A] + good + [0x61, 0xFE, 0x0A] + good)
        let job = try Job(
            "name: poem\ndata: {source: poem.txt}\nmodel: {architecture: gpt, layers: 1, heads: 1, width: 8, context: 4, "
                + "tokenizer: \(tokenizer)}\ntraining: {steps: 1}\n", files: ["poem.txt": path])
        expectFault(.invalidData, ["poem.txt, line 2: the bytes FF are not UTF-8", "2 bad rows"]) {
            _ = try job.finish()
        }
        #expect(try Self.entries(job.directory).map { $0["line"] } == [2, 4])
    }

    @Test func `M12: a dataset that is only described`() throws {
        let scratch = try Scratch()
        let path = try scratch.write("d.csv", "x,y\n1,2\n3\n4\n5,6\n")
        let task = ProfileTask(
            jobID: "p", dataset: DatasetMount(reference: "d", resolved: "d@1", contentHash: "h", path: path),
            directory: scratch.path)
        expectFault(.invalidData, ["d.csv, line 3", "2 bad rows"]) {
            _ = try ProfileJob(task, link: Told().link()).run()
        }
        #expect(try Self.entries(scratch.path).map { $0["line"] } == [3, 4])
    }

    @Test func `features stay in the recipe's order on the way to a worker, and old tasks are read`() throws {
        let tree = try RecipeReader.read(
            text:
                "name: m\ndata: {source: d}\ninputs: {zeta: number, alpha: number, mid: number}\noutputs: {y: number}\n",
            file: "recipe.yaml"
        ).tree
        let task = TrainTask(jobID: "j", recipe: tree, datasets: [], directory: "d", share: MachineShare(threads: 1))
        let sent = try JSONEncoder.wire.encode(EngineTask.train(task))
        guard case .train(let received) = try JSONDecoder.wire.decode(EngineTask.self, from: sent) else {
            throw MartletError(.internal, "another task came back")
        }
        #expect(received.recipe["inputs"]?.object?.keys == ["zeta", "alpha", "mid"])
        #expect(try RecipeReader.read(json: received.recipe).recipe.inputs.map(\.name) == ["zeta", "alpha", "mid"])
        // As an earlier version wrote it: an object, whose keys are read by name.
        var old = try JSONParser.parse(sent, limits: .trusted)
        guard case .object(var whole) = old, case .object(var inner)? = whole["train"],
            case .object(var fields)? = inner["_0"]
        else { throw MartletError(.internal, "the task is coded otherwise") }
        fields["recipe"] = tree
        inner["_0"] = .object(fields)
        whole["train"] = .object(inner)
        old = .object(whole)
        guard case .train(let known) = try JSONDecoder.wire.decode(EngineTask.self, from: old.data) else {
            throw MartletError(.internal, "another task came back")
        }
        #expect(known.recipe["inputs"]?.object?.keys == ["alpha", "mid", "zeta"])
    }

    @Test func `a model is measured in its own order, whatever the card's recipe has`() throws {
        let table = mixedTable(rows: 200)
        let text = """
            name: mixed
            data: {source: mixed.csv, split: {train: 0.8, validation: 0.1, test: 0.1, seed: 3}}
            inputs: {b: number, a: number}
            outputs: {y: number, label: category}
            training: {epochs: 1}
            """
        let job = try Job(text, data: ["mixed.csv": table])
        _ = try job.finish()
        let config = try JSONParser.parse(Data(contentsOf: URL(filePath: job.bundle + "/config.json")))
        #expect(config["inputs"]?.array?.map { $0["name"] } == ["b", "a"])
        let mount = DatasetMount(
            reference: "m", resolved: "m@1", contentHash: "h", path: try #require(job.data["mixed.csv"]))
        let task = EvaluateTask(
            jobID: "e", bundle: job.bundle, dataset: mount, directory: job.scratch.path + "/e",
            share: MachineShare(threads: 1))
        guard case .finished(let result) = try onCompute({ try EvaluateJob(task, link: Told().link()).run() }) else {
            throw MartletError(.internal, "it did not finish")
        }
        #expect(result.report["metrics"]?["label.accuracy"]?.double != nil)
        #expect(result.report["metrics"]?["y.rmse"]?.double != nil)
    }
}
