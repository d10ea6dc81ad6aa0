import AsyncHTTPClient
import Foundation
import Logging
import MartletStore
import MartletWire
import NIOCore
import NIOPosix

/// Tells endpoints of what ended. Events lie in the database from the moment of the end until they are delivered.
public final class WebhookService: Sendable {
    /// Sends one message: the URL, the address to call, headers, body. The answer's status.
    package typealias Post = @Sendable (OutboundPolicy.Target, String, [(String, String)], String) async throws -> Int

    private let store: Store
    private let endpoints: [WebhookEndpoint]
    private let policy: OutboundPolicy
    private let clock: PlatformClock
    private let logger: Logger
    private let post: Post

    /// From the event's time on; then it is given up.
    package static let lifetime = 72.0 * 3600
    private static let firstPause = 5.0
    private static let longestPause = 6.0 * 3600
    private static let pageCount = 50

    package init(
        store: Store, endpoints: [WebhookEndpoint], policy: OutboundPolicy, clock: PlatformClock, logger: Logger,
        post: @escaping Post = WebhookService.send
    ) {
        self.store = store
        self.endpoints = endpoints
        self.policy = policy
        self.clock = clock
        self.logger = logger
        self.post = post
    }

    /// Until the task is cancelled.
    func run() async {
        repeat {
            do {
                try await step()
            } catch {
                logger.error("webhooks could not be handled, and are again in a moment: \(error)")
            }
        } while (try? await clock.sleep(.seconds(1))) != nil
    }

    /// What there is to do at this moment.
    package func step() async throws {
        let events = try await store.webhookEvents(limit: Self.pageCount)
        for event in events {
            let project = try await store.projects().first { $0.id == event.projectID }?.name ?? ""
            let deliveries = endpoints.filter { $0.wants(event.type, ofProject: project) }.map {
                WebhookDelivery(
                    id: WebhookMessage.id(of: event), url: $0.url, body: WebhookMessage.body(of: event),
                    createdAt: event.createdAt, nextAt: clock.now())
            }
            try await store.dispatch(event, as: deliveries)
        }
        let due = try await store.webhookDeliveries(dueAt: clock.now(), limit: Self.pageCount)
        await withTaskGroup(of: Void.self) { group in
            for delivery in due { group.addTask { await self.deliver(delivery) } }
        }
    }

    private func deliver(_ delivery: WebhookDelivery) async {
        let host = URLComponents(string: delivery.url)?.host ?? "?"
        do {
            guard let endpoint = endpoints.first(where: { $0.url == delivery.url }) else {
                return try await store.reschedule(delivery, at: nil)
            }
            let problem: String
            do {
                let target = try policy.check(delivery.url)
                let address = try await address(of: target)
                let headers = WebhookMessage.headers(
                    id: delivery.id, body: delivery.body, key: endpoint.key, at: clock.now())
                let status = try await post(target, address, headers, delivery.body)
                if (200..<300).contains(status) { return try await store.reschedule(delivery, at: nil) }
                problem = "it answered \(status)"
            } catch {
                problem = (error as? MartletError)?.message ?? "it cannot be reached"
            }
            let next = clock.now() + Self.pause(after: delivery.attempts)
            let isOver = next.timeIntervalSince(delivery.createdAt) > Self.lifetime
            if isOver {
                logger.warning("the webhook \(delivery.id) to \(host) is given up: \(problem)")
            } else if delivery.attempts == 0 {
                logger.notice("the webhook \(delivery.id) to \(host) is tried again: \(problem)")
            }
            try await store.reschedule(delivery, at: isOver ? nil : next)
        } catch {
            logger.error("the webhook \(delivery.id) could not be handled, and is in a moment: \(error)")
        }
    }

    /// Seconds: 5, 20, 80, … up to six hours.
    package static func pause(after attempts: Int) -> Double {
        min(longestPause, firstPause * pow(4, Double(min(max(0, attempts), 20))))
    }

    /// The address to call: looked up here and used as it is, so that nothing else is called than what was checked.
    private func address(of target: OutboundPolicy.Target) async throws -> String {
        let host = target.host
        let found = try await NIOThreadPool.singleton.runIfActive { OutboundPolicy.addresses(of: host) }
        guard let first = found.first else { throw MartletError(.unavailable, "its host has no address") }
        guard target.mayBePrivate || found.allSatisfy(OutboundPolicy.isPublic) else {
            throw MartletError(.forbidden, "its host has a private address; list the host itself in outbound_hosts")
        }
        return first
    }

    /// Over HTTP, without redirects; of the answer nothing but the status is read.
    package static func send(
        _ target: OutboundPolicy.Target, to address: String, headers: [(String, String)], body: String
    ) async throws -> Int {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: .seconds(5), read: .seconds(10), write: .seconds(10)))
        configuration.dnsOverride = [target.host: address]
        configuration.httpVersion = .http1Only
        let client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
        let result: Result<Int, any Error>
        do {
            var request = HTTPClientRequest(url: target.url)
            request.method = .POST
            for (name, value) in headers { request.headers.add(name: name, value: value) }
            request.body = .bytes(ByteBuffer(string: body))
            result = .success(Int(try await client.execute(request, timeout: .seconds(15)).status.code))
        } catch {
            result = .failure(error)
        }
        try? await client.shutdown()
        return try result.get()
    }
}
