import Foundation
import MartletData
import MartletServing
import MartletTensor
import MartletTraining
import MartletWire
import Synchronization

/// A worker or replica: dials `serve`, gets its task, carries it out.
enum EngineProcess {
    /// What the platform has asked of this process, and who answers its requests.
    private final class Control: Sendable {
        let stop = Mutex<JobLink.Stop?>(nil)
        let server = Mutex<ReplicaServer?>(nil)
        /// Told to leave, perhaps before the model was loaded.
        let leaves = Mutex(false)

        /// From now on requests are answered; at once the last ones, where the process was told to leave.
        func serve(_ server: ReplicaServer) {
            self.server.withLock { $0 = server }
            if leaves.withLock({ $0 }) { server.drain() }
        }

        func leave() {
            leaves.withLock { $0 = true }
            server.withLock { $0 }?.drain()
        }
    }

    static func run() throws {
        let environment = ProcessInfo.processInfo.environment
        guard let path = environment[EngineEnvironment.socket], let token = environment[EngineEnvironment.token] else {
            throw MartletError(
                .usage,
                "\(EngineEnvironment.socket) and \(EngineEnvironment.token) are not set; martlet serve sets them")
        }
        signal(SIGPIPE, SIG_IGN)
        let control = Control()
        let client = ControlClient(path: path, token: token)
        let task = try client.start(
            cancelled: { control.server.withLock { $0 }?.cancel($0) },
            handler: { request, body, reply in handle(request, body, reply, control) })
        let compute = ComputeThread()
        do {
            switch task {
            case .train(let task):
                try job(client, control, compute) { try TrainJob(task, link: $0, serving: .replica).run() }
            case .evaluate(let task):
                try job(client, control, compute) { try EvaluateJob(task, link: $0, serving: .replica).run() }
            case .profile(let task): try job(client, control, compute) { try ProfileJob(task, link: $0).run() }
            case .importModel(let task): try job(client, control, compute) { try ImportJob(task, link: $0).run() }
            case .serve(let task): try serve(task, client, control, compute)
            }
        } catch {
            let error = EngineFailure.wire(error)
            EngineLog.write("failed: \(error.message)")
            client.send(.fail(error))
            _ = client.flush()
            exit(error.exitCode)
        }
        _ = client.flush()
        exit(0)
    }

    private static func handle(
        _ request: PlatformRequest, _ body: [UInt8], _ reply: ControlClient.Reply, _ control: Control
    ) {
        switch request {
        case .infer, .generate, .embed, .tokenize, .detokenize:
            guard let server = control.server.withLock({ $0 }) else {
                return reply.fail(MartletError(.unavailable, "the model is still being loaded; try again in a moment"))
            }
            server.handle(request, body: body, reply)
        case .pause:
            control.stop.withLock { $0 = $0 ?? .pause }
            reply(Acknowledged())
        case .cancel:
            control.stop.withLock { $0 = .cancel }
            control.leave()
            reply(Acknowledged())
        case .drain:
            control.leave()
            reply(Acknowledged())
        case .ping:
            if let server = control.server.withLock({ $0 }) {
                server.handle(request, body: body, reply)
            } else {
                reply(Acknowledged())
            }
        }
    }

    private static func job(
        _ client: ControlClient, _ control: Control, _ compute: ComputeThread,
        _ body: @escaping @Sendable (JobLink) throws -> JobOutcome
    ) throws {
        let link = JobLink(
            event: { client.send(.event($0)) }, progress: { client.send(.progress($0)) },
            stop: { control.stop.withLock { $0 } }, unacknowledged: { client.unacknowledgedEvents },
            checkpoint: { client.send(.checkpoint($0)) }, ask: { try client.ask(.ask($0), $1) })
        switch try compute.run({ try body(link) }) {
        case .finished(let result): client.send(.finish(result))
        case .paused: client.send(.paused)
        case .cancelled: client.send(.fail(MartletError(.cancelled, "the job was cancelled")))
        }
    }

    private static func serve(
        _ task: ServeTask, _ client: ControlClient, _ control: Control, _ compute: ComputeThread
    ) throws {
        let started = ContinuousClock.now
        try compute.run {
            guard let device = Device(task.share.device) else {
                throw MartletError(.invalidRequest, "'\(task.share.device)' is not a device; use cpu or cuda:0")
            }
            try Torch.setThreadCount(task.share.threads)
            let signature = try signature(of: task.bundle)
            let serves: () -> Void
            var cacheBytes = 0
            var facts: [String: String]?
            if signature.isLanguage, signature.language?.generates == false, try LanguageServer.holdsEncoder(task) {
                let (model, server) = try LanguageServer.loadEncoder(task)
                facts = [
                    "precision": model.format.rawValue, "context": String(model.contextLength),
                    "pooling": model.pooling.rawValue,
                ]
                facts?["vector_error"] = model.vectorError.map { String(format: "%.2g", $0) }
                control.serve(ReplicaServer(.language(server)))
                serves = { server.run(model) }
            } else if signature.isLanguage, signature.language?.sourceLength != nil {
                let (model, server) = try LanguageServer.loadSourceModel(task)
                cacheBytes = model.cacheBytes
                facts = [
                    "precision": model.format.rawValue, "source": String(model.length), "answer": String(model.length),
                ]
                facts?["logit_error"] = model.logitError.map { String(format: "%.2g", $0) }
                control.serve(ReplicaServer(.language(server)))
                serves = { server.run(model, gather: client.gather) }
            } else if signature.isLanguage {
                let (model, server) = try LanguageServer.load(task)
                cacheBytes = model.cacheBytes
                facts = ["precision": model.format.rawValue, "context": String(model.contextLength)]
                if model.pooling != .mean { facts?["pooling"] = model.pooling.rawValue }
                facts?["logit_error"] = model.logitError.map { String(format: "%.2g", $0) }
                control.serve(ReplicaServer(.language(server)))
                serves = { server.run(model, gather: client.gather) }
            } else if signature.language != nil {
                let model = try LoadedTextModel(
                    bundle: task.bundle, signature: signature, format: LanguageServer.format(task))
                facts = ["precision": model.format.rawValue]
                facts?["score_error"] = model.scoreError.map { String(format: "%.2g", $0) }
                let server = TextModelServer(task, model)
                control.serve(ReplicaServer(.texts(server)))
                serves = { server.run(model) }
            } else {
                let model = try LoadedModel(bundle: task.bundle, device: device)
                let server = ModelServer(task: task, preprocessing: model.preprocessing, signature: model.signature)
                control.serve(ReplicaServer(.features(server)))
                serves = { server.run(model) }
            }
            let (seconds, attoseconds) = started.duration(to: .now).components
            client.send(
                .ready(
                    ReplicaReady(
                        signature: signature, loadSeconds: Double(seconds) + Double(attoseconds) / 1e18,
                        residentBytes: ProcessMemory.residentBytes + cacheBytes, serving: facts)))
            serves()
        }
    }

    private static func signature(of bundle: String) throws -> Signature {
        guard let data = FileManager.default.contents(atPath: "\(bundle)/\(BundleFile.signature)") else {
            throw MartletError(.invalidData, "the bundle has no \(BundleFile.signature); train or import it again")
        }
        return try JSONParser.parse(data, limits: .trusted).decode(Signature.self)
    }
}
