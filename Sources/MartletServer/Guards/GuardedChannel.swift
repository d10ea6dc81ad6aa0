import HummingbirdCore
import Logging
import NIOCore

/// Hummingbird's HTTP/1 channel with our guards around it.
struct GuardedChannel: ServerChildChannel {
    /// A connection and whether its client has left.
    struct Value: ServerChildChannelValue {
        let base: HTTP1Channel.Value
        let departure: Departure
        var channel: any Channel { base.channel }
    }
    private let base: HTTP1Channel
    private let limits: ServerLimits
    private let gateway: Gateway

    init(limits: ServerLimits, gateway: Gateway, responder: @escaping HTTPChannelHandler.Responder) {
        self.limits = limits
        self.gateway = gateway
        base = HTTP1Channel(
            responder: responder,
            configuration: .init(
                additionalChannelHandlers: [MessageGuard()], idleTimeout: .seconds(Int64(limits.idleSeconds)),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: limits.headerBytes, maxHeaderListSize: limits.headerBytes,
                    maxHeaderFieldCount: limits.headerCount)))
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let departure = Departure()
        return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(ConnectionGuard(limits: limits, departure: departure))
        }.flatMap { base.setup(channel: channel, logger: logger) }.flatMapThrowing { value in
            // Behind what counts open requests, so that a server that stops finishes these too.
            let pipeline = channel.pipeline.syncOperations
            let connection = try pipeline.handler(type: HTTPConnectionStateHandler.self)
            try pipeline.addHandler(EarlyRefusal(gateway), position: .after(connection))
            return Value(base: value, departure: departure)
        }
    }

    func handle(value: Value, logger: Logger) async {
        await withTaskExecutorPreference(EventLoopTasks(value.channel.eventLoop)) {
            await Departure.$current.withValue(value.departure) { await base.handle(value: value.base, logger: logger) }
        }
    }
}
