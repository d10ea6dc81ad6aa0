import Foundation
import MartletWire

/// An engine process's end of the control connection.
///
/// What is sent waits in an outbox until `serve` has acknowledged it, so training never waits for the platform, and what
/// a dying `serve` did not acknowledge is sent again to its successor.
final class ControlClient: @unchecked Sendable {
    // Unchecked: every mutable field is used under `condition`.
    typealias Handler = @Sendable (_ request: PlatformRequest, _ body: [UInt8], _ reply: Reply) -> Void

    private let path: String
    private let token: String
    private let condition = NSCondition()
    private var socket: FrameSocket?
    private var outbox: [EngineRequest] = []
    private var isSending = false
    private var nextID: UInt64 = 1
    private var waitingFor: UInt64?
    private var answer: Frame?
    /// Questions that somebody waits for, and their answers.
    private var asked: [UInt64: Frame?] = [:]
    private var handler: Handler?
    private var cancelled: (@Sendable (_ request: UInt64) -> Void)?

    /// How long a process waits for a `serve` that went away.
    private static let patience: TimeInterval = 900

    init(path: String, token: String) {
        self.path = path
        self.token = token
    }

    /// Sends one answer to one request.
    struct Reply: Sendable {
        fileprivate let client: ControlClient
        /// The request's, as a cancellation names it.
        let id: UInt64

        func callAsFunction(_ head: some Encodable, body: [UInt8] = []) {
            client.answer(id, .reply, (try? JSONEncoder.wire.encode(head)).map { [UInt8]($0) } ?? [], body)
        }

        /// A piece of an answer that goes on.
        func part(_ event: GenerationEvent) { client.answer(id, .part, (try? event.head) ?? [], []) }

        /// A head that is encoded already.
        func callAsFunction(head: [UInt8], body: [UInt8]) { client.answer(id, .reply, head, body) }

        func fail(_ error: MartletError) {
            client.answer(id, .failure, (try? JSONEncoder.wire.encode(error)).map { [UInt8]($0) } ?? [], [])
        }
    }

    /// Connects, says hello and returns the task. Both closures are called on the reading thread; `cancelled` with the
    /// id of a request whose asker does not wait any more.
    func start(
        cancelled: @escaping @Sendable (UInt64) -> Void, handler: @escaping Handler
    ) throws -> EngineTask {
        let socket = try FrameSocket(path: path)
        let task = try greet(socket, isReturning: false)
        condition.lock()
        self.socket = socket
        self.handler = handler
        self.cancelled = cancelled
        condition.unlock()
        startThread("control-read") { [self] in readForever() }
        startThread("control-send") { [self] in sendForever() }
        return task
    }

    /// Puts a message in the outbox. Progress takes the place of progress that has not left yet.
    func send(_ request: EngineRequest) {
        condition.lock()
        if case .progress = request, case .progress? = outbox.last, outbox.count > (isSending ? 1 : 0) {
            outbox[outbox.count - 1] = request
        } else {
            outbox.append(request)
        }
        condition.broadcast()
        condition.unlock()
    }

    /// Asks beside the outbox and waits for the answer; a `serve` that comes after the one that was asked is asked again.
    ///
    /// `goOn` is called a few times a second and throws where nobody waits any more, which `serve` is told.
    /// Throws what `serve` answered instead.
    func ask<Answer: Decodable>(_ request: EngineRequest, _ goOn: () throws -> Void) throws -> Answer {
        let head = [UInt8](try JSONEncoder.wire.encode(request))
        while true {
            try goOn()
            condition.lock()
            guard let socket else {
                _ = condition.wait(until: Date(timeIntervalSinceNow: Self.look))
                condition.unlock()
                continue
            }
            nextID += 1
            let id = nextID
            asked[id] = .some(nil)
            condition.unlock()
            defer {
                condition.lock()
                asked[id] = nil
                condition.unlock()
            }
            guard (try? socket.write(Frame(kind: .request, id: id, head: head))) != nil else {
                Thread.sleep(forTimeInterval: 0.05)
                continue
            }
            do {
                guard let frame = try waitForAnswer(to: id, on: socket, goOn) else { continue }
                guard frame.kind == .reply else {
                    throw try JSONDecoder.wire.decode(MartletError.self, from: Data(frame.head))
                }
                return try JSONDecoder.wire.decode(Answer.self, from: Data(frame.head))
            } catch let error as DecodingError {
                throw MartletError(
                    .internal, "martlet serve's answer cannot be read; update both programs (\(error))")
            }
        }
    }

    /// How often it is looked whether anyone still waits, in seconds.
    private static let look: TimeInterval = 0.2

    /// Nil where the connection was lost.
    private func waitForAnswer(to id: UInt64, on socket: FrameSocket, _ goOn: () throws -> Void) throws -> Frame? {
        while true {
            condition.lock()
            if (asked[id] ?? nil) == nil, self.socket === socket {
                _ = condition.wait(until: Date(timeIntervalSinceNow: Self.look))
            }
            let (answer, isLost) = (asked[id] ?? nil, self.socket !== socket)
            condition.unlock()
            if let answer { return answer }
            if isLost { return nil }
            do {
                try goOn()
            } catch {
                try? socket.write(Frame(kind: .cancel, id: id, head: []))
                throw error
            }
        }
    }

    /// Events in the outbox, the oldest first.
    var unacknowledgedEvents: [JobEvent] {
        condition.lock()
        defer { condition.unlock() }
        return outbox.compactMap { if case .event(let event) = $0 { event } else { nil } }
    }

    /// Waits until everything sent so far has been acknowledged; false where `serve` did not come back in time.
    func flush() -> Bool {
        condition.lock()
        defer { condition.unlock() }
        let deadline = Date(timeIntervalSinceNow: Self.patience)
        while !outbox.isEmpty {
            if !condition.wait(until: deadline) { return false }
        }
        return true
    }

    private func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.name = name
        thread.stackSize = 1 << 20
        thread.start()
    }

    private func greet(_ socket: FrameSocket, isReturning: Bool) throws -> EngineTask {
        let hello = EngineRequest.hello(
            .init(token: token, pid: ProcessInfo.processInfo.processIdentifier, isReturning: isReturning))
        try socket.write(Frame(kind: .request, id: 0, head: [UInt8](try JSONEncoder.wire.encode(hello))))
        guard let frame = try socket.read() else {
            throw MartletError(.unavailable, "martlet serve closed the control connection")
        }
        if frame.kind == .failure {
            throw try JSONDecoder.wire.decode(MartletError.self, from: Data(frame.head))
        }
        return try JSONDecoder.wire.decode(EngineTask.self, from: Data(frame.head))
    }

    /// Answers that are given during `body` leave together.
    func gather(_ body: () -> Void) {
        condition.lock()
        let socket = self.socket
        condition.unlock()
        if let socket { socket.gather(body) } else { body() }
    }

    private func answer(_ id: UInt64, _ kind: Frame.Kind, _ head: [UInt8], _ body: [UInt8]) {
        condition.lock()
        let socket = self.socket
        condition.unlock()
        // Whoever asked is gone where this fails; the reading thread notices and dials again.
        try? socket?.write(Frame(kind: kind, id: id, head: head, body: body))
    }

    // MARK: the two threads

    private func readForever() {
        var known: [[UInt8]: PlatformRequest] = [:]
        while true {
            condition.lock()
            let socket = self.socket
            let (handler, cancelled) = (self.handler, self.cancelled)
            condition.unlock()
            guard let socket, let frame = try? socket.read() else {
                reconnect()
                continue
            }
            switch frame.kind {
            case .reply, .failure:
                condition.lock()
                if frame.id == waitingFor { answer = frame }
                if asked.keys.contains(frame.id) { asked[frame.id] = frame }
                condition.broadcast()
                condition.unlock()
            case .request:
                let reply = Reply(client: self, id: frame.id)
                // Inferences of one deployment repeat their heads to the letter; prompts do not.
                if let request = known[frame.head]
                    ?? (try? JSONDecoder.wire.decode(PlatformRequest.self, from: Data(frame.head)))
                {
                    if case .infer = request {
                        if known.count >= 256 { known.removeAll() }
                        known[frame.head] = request
                    }
                    handler?(request, frame.body, reply)
                } else {
                    reply.fail(
                        MartletError(.invalidRequest, "the engine does not know this request; update both programs"))
                }
            case .cancel: cancelled?(frame.id)
            case .part: break
            }
        }
    }

    private func reconnect() {
        condition.lock()
        socket?.shutDown()
        socket = nil
        condition.broadcast()
        condition.unlock()
        let deadline = Date(timeIntervalSinceNow: Self.patience)
        while Date() < deadline {
            Thread.sleep(forTimeInterval: 0.2)
            do {
                let socket = try FrameSocket(path: path)
                _ = try greet(socket, isReturning: true)
                condition.lock()
                self.socket = socket
                condition.broadcast()
                condition.unlock()
                return
            } catch let error as MartletError where error.code == .unauthenticated || error.code == .notFound {
                EngineLog.write("martlet serve has no more use for this process: \(error.message)")
                exit(error.exitCode)
            } catch {}
        }
        EngineLog.write("martlet serve did not come back in \(Int(Self.patience)) s; leaving")
        exit(69)
    }

    private func sendForever() {
        while true {
            condition.lock()
            while outbox.isEmpty || socket == nil { condition.wait() }
            guard let socket, let request = outbox.first else {
                condition.unlock()
                continue
            }
            isSending = true
            nextID += 1
            let id = nextID
            waitingFor = id
            answer = nil
            condition.unlock()

            let head = (try? JSONEncoder.wire.encode(request)).map { [UInt8]($0) } ?? []
            let isSent = (try? socket.write(Frame(kind: .request, id: id, head: head))) != nil

            condition.lock()
            while isSent, answer == nil, self.socket === socket { condition.wait() }
            if let answer {
                if answer.kind == .failure,
                    let error = try? JSONDecoder.wire.decode(MartletError.self, from: Data(answer.head))
                {
                    EngineLog.write("martlet serve refused a message: \(error.message)")
                }
                outbox.removeFirst()
            }
            isSending = false
            waitingFor = nil
            condition.broadcast()
            condition.unlock()
            if !isSent { Thread.sleep(forTimeInterval: 0.05) }
        }
    }
}

/// The process's own log, which `serve` keeps as the job's log.
enum EngineLog {
    static func write(_ message: String) {
        let line = "\(Date().formatted(.iso8601)) \(message)\n"
        try? FileHandle.standardError.write(contentsOf: Data(line.utf8))
    }
}
