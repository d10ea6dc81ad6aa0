import Foundation
import HummingbirdCore
import HummingbirdTLS
import Logging
import MartletPlatform
import MartletWire
import NIOCore
import NIOPosix
import ServiceLifecycle

/// The HTTP server over one platform: built once, run until a signal or until it was idle too long.
public struct MartletServer: Sendable {
    private let platform: Platform
    private let gateway: Gateway
    private let address: ListenAddress
    private let limits: ServerLimits
    private let shutdownSeconds: Int
    private let idleExitSeconds: Int?

    /// The route table, for tests and documents.
    public var table: RouteTable { gateway.table }

    /// `limits` are those of the configuration where they are not given. Throws `usage` where the address is beyond
    /// loopback without TLS, or the certificate cannot be read.
    public init(
        platform: Platform, version: String, idleExitSeconds: Int? = nil, shutdownSeconds: Int = 30,
        limits: ServerLimits? = nil
    ) throws {
        let configuration = platform.configuration
        self.platform = platform
        address = try ListenAddress(configuration)
        self.limits = limits ?? ServerLimits(configuration)
        self.idleExitSeconds = idleExitSeconds
        self.shutdownSeconds = shutdownSeconds
        let api = API(platform: platform, version: version)
        platform.executor.set(InnerExecutor(platform: platform))
        let routes = api.routes
        let described = routes + api.descriptions(of: routes, metrics: ServerMetrics(routes: []))
        let metrics = ServerMetrics(routes: described)
        gateway = try Gateway(
            table: RouteTable(routes + api.descriptions(of: described, metrics: metrics)), metrics: metrics,
            keys: platform.keys,
            hosts: HostCheck(
                names: address.names, port: address.port, takesAnyName: address.tls != nil,
                origins: configuration.otherOrigins),
            limits: self.limits,
            log: RequestLog(configuration.logLevel))
    }

    /// Serves until SIGTERM or SIGINT, then finishes what was accepted. `started` hears the URL.
    public func run(started: @escaping @Sendable (String) -> Void = { _ in }) async throws {
        let logger = Logger(label: "martlet.http") { _ in SwiftLogNoOpLogHandler() }
        let gateway = gateway, limits = limits, platform = platform, address = address
        var builder = HTTPServerBuilder { responder in
            GuardedChannel(limits: limits, gateway: gateway, responder: responder)
        }
        if let tls = address.tls { builder = try .tls(builder, tlsConfiguration: tls) }
        let server = try builder.buildServer(
            configuration: ServerConfiguration(
                address: .hostname(address.host, port: address.port), backlog: 1024,
                availableConnectionsDelegate: MaximumAvailableConnections(limits.connectionCount)),
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger,
            responder: { request, writer, _ in try await gateway.respond(to: request, writer: writer) },
            onServerRunning: { channel in
                let url = address.url(port: channel.localAddress?.port ?? address.port)
                do {
                    try platform.announce(url: url)
                    RequestLog.note("serving", ["url": .string(url)])
                    started(url)
                } catch {
                    RequestLog.note("the lock file cannot be written", ["error": .string("\(error)")])
                }
            })
        var configuration = ServiceGroupConfiguration(
            services: [
                .init(
                    service: PlatformService(platform: platform), successTerminationBehavior: .gracefullyShutdownGroup),
                .init(service: server, successTerminationBehavior: .gracefullyShutdownGroup),
                .init(service: idleWatch, successTerminationBehavior: .gracefullyShutdownGroup),
            ],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        configuration.maximumGracefulShutdownDuration = .seconds(shutdownSeconds)
        defer { RequestLog.flush() }
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch let error as IOError {
            throw address.bindFailure(error)
        }
        RequestLog.note("stopped")
    }

    private var idleWatch: IdleWatch {
        IdleWatch(platform: platform, gateway: gateway, limitSeconds: idleExitSeconds)
    }
}

/// The platform as a service that ends after the listener has.
private struct PlatformService: Service {
    let platform: Platform

    func run() async throws {
        try await withGracefulShutdownHandler {
            try await platform.run()
        } onGracefulShutdown: {
            platform.shutdown()
        }
    }
}

/// Ends a server that a command started, once nobody has asked it anything for a while and no job waits.
private struct IdleWatch: Service {
    let platform: Platform
    let gateway: Gateway
    let limitSeconds: Int?
    /// From the signal to the listener's close: connections that wait in the kernel by then would be reset.
    private static let lastAccepts = Duration.milliseconds(250)

    /// The group ends its services from the last to the first, so the listener waits for this one.
    func run() async throws {
        try await untilLeaving()
        try? await Task.sleep(for: Self.lastAccepts)
    }

    private func untilLeaving() async throws {
        guard let limitSeconds else { return try await gracefulShutdown() }
        try await cancelWhenGracefulShutdown {
            while true {
                if gateway.idleSeconds >= Double(limitSeconds), try await !platform.hasWork() { break }
                try? await Task.sleep(for: .seconds(1))
                if Task.isCancelled { return }
            }
            RequestLog.note("idle, leaving", ["seconds": JSON(limitSeconds)])
        }
    }
}
