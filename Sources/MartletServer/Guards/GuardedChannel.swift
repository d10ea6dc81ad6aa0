import HummingbirdCore
import Logging
import NIOCore

/// Hummingbird's HTTP/1 channel with our guards around it.
struct GuardedChannel: ServerChildChannel {
    private let base: HTTP1Channel
    private let limits: ServerLimits

    init(limits: ServerLimits, responder: @escaping HTTPChannelHandler.Responder) {
        self.limits = limits
        base = HTTP1Channel(
            responder: responder,
            configuration: .init(
                additionalChannelHandlers: [MessageGuard()], idleTimeout: .seconds(Int64(limits.idleSeconds)),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: limits.headerBytes, maxHeaderListSize: limits.headerBytes,
                    maxHeaderFieldCount: limits.headerCount)))
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(ConnectionGuard(limits: limits))
        }.flatMap { base.setup(channel: channel, logger: logger) }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
