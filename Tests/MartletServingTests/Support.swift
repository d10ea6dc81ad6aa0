import Foundation
import MartletData
import MartletServing
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Synchronization
import Testing

/// The one thread of these tests on which tensors live.
private let compute = ComputeThread()

/// A small model that was trained once for all tests, with the rows that it was tested on.
final class Fixture: Sendable {
    let directory: String
    let card: ModelCard
    let preprocessing: Preprocessing
    /// The header and the rows held out, as written.
    let header: [String]
    let held: [[String]]

    var bundle: String { directory + "/job/bundle" }

    init(_ recipe: String, table: String, name: String, heldRows: Int) throws {
        directory = NSTemporaryDirectory() + "martlet-serving-" + UUID().uuidString
        RemovedAtExit.add(directory)
        try FileManager.default.createDirectory(atPath: directory + "/job", withIntermediateDirectories: true)
        let file = directory + "/" + name
        try Data(table.utf8).write(to: URL(filePath: file))
        let lines = table.split(separator: "\n").map { $0.split(separator: ",").map(String.init) }
        header = lines[0]
        held = Array(lines.suffix(heldRows))
        (card, preprocessing) = try Self.train(recipe, name: name, file: file, directory: directory)
    }

    /// A model of images, from the IDX files in a folder.
    init(_ recipe: String, images: (String) throws -> Void) throws {
        directory = NSTemporaryDirectory() + "martlet-serving-" + UUID().uuidString
        RemovedAtExit.add(directory)
        try FileManager.default.createDirectory(atPath: directory + "/job", withIntermediateDirectories: true)
        try FileManager.default.createDirectory(atPath: directory + "/images", withIntermediateDirectories: true)
        try images(directory + "/images")
        header = []
        held = []
        (card, preprocessing) = try Self.train(
            recipe, name: "images", file: directory + "/images", directory: directory)
    }

    private static func train(
        _ recipe: String, name: String, file: String, directory: String
    ) throws -> (ModelCard, Preprocessing) {
        let tree = try RecipeReader.read(text: recipe, file: "recipe.yaml").tree
        let task = TrainTask(
            jobID: "job-1", recipe: tree,
            datasets: [DatasetMount(reference: name, resolved: "\(name)@1", contentHash: "", path: file)],
            directory: directory + "/job", share: MachineShare(threads: 1))
        let link = JobLink(event: { _ in }, progress: { _ in }, stop: { nil })
        let outcome = try compute.run { try TrainJob(task, link: link).run() }
        guard case .finished(let result) = outcome, let card = result.card else {
            throw MartletError(.internal, "the job did not finish")
        }
        return (card, try Preprocessing.read(from: directory + "/job/bundle/\(BundleFile.preprocessing)"))
    }

    func server(maxBatch: Int = 64, queueLimit: Int = 1024) -> ModelServer {
        let task = ServeTask(
            model: "测试", version: 3, bundle: bundle, share: MachineShare(threads: 1), maxBatch: maxBatch,
            queueLimit: queueLimit)
        return ModelServer(task: task, preprocessing: preprocessing, signature: preprocessing.signature)
    }

    /// Answers what waits in the server's queue.
    func work(_ server: ModelServer) throws {
        server.drain()
        let bundle = bundle
        try compute.run {
            try Torch.setThreadCount(1)
            server.run(try LoadedModel(bundle: bundle, device: .cpu))
        }
    }

    /// Answers until the server is drained.
    func serve(_ server: ModelServer) {
        let bundle = bundle
        do {
            try ComputeThread().run { server.run(try LoadedModel(bundle: bundle, device: .cpu)) }
        } catch {
            Issue.record(error)
        }
    }

    /// All requests wait before the model starts, so they go through it together as far as `maxBatch` lets them.
    func ask(_ requests: [Request], maxBatch: Int = 64) throws -> [Result<InferenceAnswer, MartletError>] {
        let server = server(maxBatch: maxBatch)
        let answers = Answers(requests.count)
        for (index, request) in requests.enumerated() {
            server.handle(request.request, body: request.body) { answers.put($0, index) }
        }
        try work(server)
        return try answers.all()
    }

    func ask(_ request: Request) throws -> InferenceAnswer { try ask([request])[0].get() }
}

final class Answers: Sendable {
    private let kept: Mutex<[Result<InferenceAnswer, MartletError>?]>

    init(_ count: Int) { kept = Mutex(Array(repeating: nil, count: count)) }

    func put(_ answer: Result<InferenceAnswer, MartletError>, _ index: Int) {
        kept.withLock {
            if $0[index] != nil { Issue.record("request \(index) was answered twice") }
            $0[index] = answer
        }
    }

    func isAnswered(_ index: Int) -> Bool { kept.withLock { $0[index] != nil } }

    func all() throws -> [Result<InferenceAnswer, MartletError>] {
        try kept.withLock { kept in
            try kept.enumerated().map { try #require($1, "request \($0) has no answer") }
        }
    }
}

struct Request: Sendable {
    var request: InferenceRequest
    var body: [UInt8]

    static func predict(_ json: String) -> Request {
        Request(request: InferenceRequest(api: .predict), body: Array(json.utf8))
    }

    static func infer(_ json: String, binary: [UInt8] = []) -> Request {
        let body = Array(json.utf8)
        return Request(
            request: InferenceRequest(api: .openInference, headerLength: binary.isEmpty ? nil : body.count),
            body: body + binary)
    }

    func by(microseconds: Int) -> Request {
        var copy = self
        copy.request.deadlineMicroseconds = microseconds
        return copy
    }
}

extension InferenceAnswer {
    var json: JSON { get throws { try JSONParser.parse(Array(body[..<(reply.headerLength ?? body.count)])) } }
    var binary: [UInt8] { reply.headerLength.map { Array(body[$0...]) } ?? [] }

    /// An output's data, where it is in the JSON.
    func output(_ name: String) throws -> [JSON] {
        let outputs = try #require(try json["outputs"]?.array)
        return try #require(outputs.first { $0["name"]?.string == name }?["data"]?.array, "no output \(name)")
    }

    func numbers(_ name: String) throws -> [Double] { try output(name).compactMap(\.double) }
}

enum Little {
    static func floats(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
    }

    static func strings(_ values: [String]) -> [UInt8] {
        values.flatMap { value in
            (0..<4).map { UInt8(truncatingIfNeeded: value.utf8.count >> (8 * $0)) } + Array(value.utf8)
        }
    }

    static func numbers(in bytes: [UInt8]) -> [Float] {
        stride(from: 0, to: bytes.count, by: 4).map { start in
            Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1)) })
        }
    }
}
