import HTTPTypes
import MartletWire
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Sees whole HTTP parts: tells `ConnectionGuard` where messages begin and end, answers what the decoder refuses, and
/// closes a connection whose answer says so without losing the answer.
final class MessageGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private enum State {
        case open
        /// An answer said `connection: close`; its end closes.
        case closing
        /// The last answer is out; what still comes is dropped, so that no reset overtakes the answer.
        case lingering
    }
    private static let lingerTime = TimeAmount.seconds(1)

    private var state = State.open
    private var connection: ConnectionGuard?
    /// Answers that are owed.
    private var openRequests = 0

    func handlerAdded(context: ChannelHandlerContext) {
        connection = try? context.pipeline.syncOperations.handler(type: ConnectionGuard.self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .lingering = state { return }
        switch unwrapInboundIn(data) {
        case .head:
            openRequests += 1
            connection?.headEnded()
        case .body: break
        case .end: connection?.requestEnded()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            if head.headerFields[.connection] == "close" { state = .closing }
        case .body: break
        case .end:
            openRequests -= 1
            connection?.answerEnded()
            if case .closing = state {
                context.writeAndFlush(data, promise: promise)
                return linger(context)
            }
        }
        context.write(data, promise: promise)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        if case .lingering = state { return }
        guard openRequests == 0 else { return context.close(promise: nil) }
        let failure =
            error == .headerOverflow
            ? MartletError(.headersTooLarge, "the headers are too many or too large; send fewer")
            : MartletError(.invalidRequest, "the request is not valid HTTP; mend the client")
        let body = Failure.body(failure, dialect: .native)
        let fields: HTTPFields = [
            .contentType: "application/json", .contentLength: String(body.utf8.count), .connection: "close",
        ]
        let head = HTTPResponse(status: .init(code: failure.httpStatus), headerFields: fields)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(ByteBuffer(string: body))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        linger(context)
    }

    private func linger(_ context: ChannelHandlerContext) {
        state = .lingering
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingerTime) { context.close(promise: nil) }
    }
}
