import ArgumentParser
import MartletWire

struct Jobs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List, show and steer jobs.",
        subcommands: [List.self, Show.self, Logs.self, Errors.self, Cancel.self, Pause.self, Resume.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List jobs, the newest first.")
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let page: Page<JobInfo> = try await Connection.with(options) { try await $0.get("/api/v1/jobs") }
            try options.output.show(page) { page in
                var table = Table(["ID", "KIND", "NAME", "STATE", "MADE", "MODEL", "PROGRESS"])
                for job in page.data {
                    table.add([
                        job.id, job.kind.rawValue, job.name, job.state.rawValue, Format.time(job.createdAt),
                        job.model ?? "", JobText.progress(job),
                    ])
                }
                return table.isEmpty ? "no jobs; start one with: martlet train RECIPE" : table.text
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a job.")
        @Argument(help: "The job's id.") var id: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let job: JobInfo = try await Connection.with(options) {
                try await $0.get("/api/v1/jobs/\(Client.segment(id))")
            }
            try options.output.show(job) { JobText.whole($0) }
        }
    }

    struct Logs: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print what a job's worker wrote.")
        @Argument(help: "The job's id.") var id: String
        @Flag(help: "Go on with the job's events as they happen.") var follow = false
        @OptionGroup var options: GlobalOptions

        private struct Log: Encodable { var log: String }

        func run() async throws {
            guard !(follow && options.json) else { throw ValidationError("--follow and --json do not go together") }
            try await Connection.with(options) { client in
                let response = try await client.request(.GET, "/api/v1/jobs/\(Client.segment(id))/logs")
                let text = String(buffer: try await Client.collect(response))
                try options.output.show(Log(log: text)) { $0.log }
                guard follow else { return }
                try await client.follow(job: id) { item in
                    if case .event(let event) = item { print(Console.inert(JobText.event(event))) }
                }
            }
        }
    }

    struct Errors: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the rows that a job could not use, one JSON object a line.")
        @Argument(help: "The job's id.") var id: String
        @OptionGroup var options: GlobalOptions

        private struct Rows: Encodable { var rows: [JSON] }

        func run() async throws {
            try await Connection.with(options) { client in
                let response = try await client.request(.GET, "/api/v1/jobs/\(Client.segment(id))/errors")
                let lines = String(buffer: try await Client.collect(response))
                let rows = try lines.split(separator: "\n").map { try JSONParser.parse(String($0)) }
                try options.output.show(Rows(rows: rows)) { _ in String(lines.dropLast()) }
            }
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Stop a job for good; its checkpoints stay.")
        @Argument(help: "The job's id.") var id: String
        @OptionGroup var options: GlobalOptions
        func run() async throws { try await Jobs.steer(id, "cancel", options) }
    }

    struct Pause: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Write a checkpoint and stop until resumed.")
        @Argument(help: "The job's id.") var id: String
        @OptionGroup var options: GlobalOptions
        func run() async throws { try await Jobs.steer(id, "pause", options) }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Go on with a paused job.")
        @Argument(help: "The job's id.") var id: String
        @OptionGroup var options: GlobalOptions
        func run() async throws { try await Jobs.steer(id, "resume", options) }
    }

    private static func steer(_ id: String, _ verb: String, _ options: GlobalOptions) async throws {
        let job: JobInfo = try await Connection.with(options) {
            try await $0.send(.POST, "/api/v1/jobs/\(Client.segment(id))/\(verb)")
        }
        try options.output.show(job) { "\($0.id)  \($0.state.rawValue)" }
    }
}
