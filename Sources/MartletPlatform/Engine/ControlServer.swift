import Foundation
import Logging
import MartletStore
import MartletWire
import NIOCore
import NIOPosix
import Synchronization

/// Who answers for an engine process once its token has been recognised.
protocol EngineEndpoint: Sendable {
    /// The process says hello, for the first time or after a loss. Throws to turn it away.
    func connected(_ connection: EngineConnection, _ hello: EngineRequest.Hello) async throws -> EngineTask
    /// What is thrown goes back to the process as the answer.
    func received(_ request: EngineRequest, from connection: EngineConnection) async throws
    /// What models say to the process's questions; cancelled where it does not wait any more.
    func answer(_ questions: ModelQuestions) async throws -> ModelAnswers
    func disconnected(_ connection: EngineConnection) async
}

extension EngineEndpoint {
    func answer(_ questions: ModelQuestions) async throws -> ModelAnswers {
        throw MartletError(.invalidRequest, "this process has no models to ask; update martlet and martlet-engine")
    }
}

/// The Unix socket that workers and replicas dial.
final class ControlServer: Sendable {
    let path: String
    private let logger: Logger
    private let endpoints = Mutex<[String: any EngineEndpoint]>([:])
    private let channel = Mutex<(any Channel)?>(nil)

    init(home: String, logger: Logger) throws {
        path = try Self.socketPath(home: home)
        self.logger = logger
    }

    /// A token that hashes to this belongs to `endpoint` from now on.
    func expect(tokenHash: String, _ endpoint: any EngineEndpoint) {
        endpoints.withLock { $0[tokenHash] = endpoint }
    }

    func forget(tokenHash: String) {
        endpoints.withLock { _ = $0.removeValue(forKey: tokenHash) }
    }

    /// HOME/run/control.sock, or a short path of this user's where that would not fit in a socket's address.
    private static func socketPath(home: String) throws -> String {
        let usual = home + "/run/control.sock"
        guard usual.utf8.count > 100 else { return usual }
        let name = "martlet-\(getuid())-\(ContentHash.of(home).prefix(16))"
        let base = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"].flatMap { $0.utf8.count < 40 ? $0 : nil }
        let folder = (base ?? "/tmp") + "/" + name
        try DurableFile.makeFolder(folder)
        var status = stat()
        guard lstat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == getuid(),
            status.st_mode & 0o077 == 0
        else {
            throw MartletError(.conflict, "'\(folder)' belongs to someone else; use a shorter --home")
        }
        return folder + "/control.sock"
    }

    func start(group: any EventLoopGroup) async throws {
        unlink(path)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = EngineConnection(channel: channel)
                    try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(FrameDecoder()))
                    try channel.pipeline.syncOperations.addHandler(ConnectionHandler(connection: connection))
                    Task { await self.serve(connection) }
                }
            }
        do {
            let listening = try await bootstrap.bind(unixDomainSocketPath: path).get()
            channel.withLock { $0 = listening }
        } catch {
            throw MartletError(.internal, "the control socket could not be opened in MARTLET_HOME/run: \(error)")
        }
        chmod(path, 0o600)
    }

    func stop() async {
        let listening = channel.withLock { channel in
            defer { channel = nil }
            return channel
        }
        try? await listening?.close().get()
        unlink(path)
        // The short path's own folder; HOME/run is never empty, and stays.
        rmdir((path as NSString).deletingLastPathComponent)
    }

    private func serve(_ connection: EngineConnection) async {
        var endpoint: (any EngineEndpoint)?
        for await frame in connection.inbox {
            do {
                let request = try Self.decode(frame)
                if case .hello(let hello) = request {
                    let hash = ContentHash.of(hello.token)
                    guard let found = endpoints.withLock({ $0[hash] }) else {
                        throw MartletError(.unauthenticated, "this process's task is over or was given to another")
                    }
                    let task = try await found.connected(connection, hello)
                    endpoint = found
                    try connection.reply(to: frame.id, task)
                } else if case .ask(let questions) = request, let endpoint {
                    connection.answer(frame.id) { try await endpoint.answer(questions) }
                } else if let endpoint {
                    try await endpoint.received(request, from: connection)
                    try connection.reply(to: frame.id, Acknowledged())
                } else {
                    throw MartletError(.unauthenticated, "the first message must be hello with a token")
                }
            } catch {
                let error = error as? MartletError ?? MartletError(.internal, "the platform failed: \(error)")
                logger.warning("an engine's message was refused: \(error.message)")
                connection.fail(frame.id, error)
                if endpoint == nil { connection.close() }
            }
        }
        await endpoint?.disconnected(connection)
    }

    private static func decode(_ frame: Frame) throws -> EngineRequest {
        do {
            return try JSONDecoder.wire.decode(EngineRequest.self, from: Data(frame.head))
        } catch {
            throw MartletError(
                .invalidRequest, "the engine sent a message that this martlet does not know; update both")
        }
    }
}

/// Hands frames to the connection; a decoding error closes it.
private final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = Frame
    private let connection: EngineConnection

    init(connection: EngineConnection) { self.connection = connection }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.received(Self.unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.closed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
