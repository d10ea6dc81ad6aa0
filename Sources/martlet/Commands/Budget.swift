import ArgumentParser
import MartletWire

struct Budget: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show and set what a project may use in a month.", subcommands: [Show.self, Set.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a project's budget and what it has used.")
        @Argument(help: "The project.") var project = "default"
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let budget: BudgetInfo = try await Connection.with(options) {
                try await $0.get("/api/v1/projects/\(Client.segment(project))/budget")
            }
            try options.output.show(budget) { Budget.text($0) }
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Set a project's budget for each month; without a limit it has none.")
        @Argument(help: "The project.") var project: String
        @Option(name: .customLong("cpu-seconds"), help: "Threads times seconds, of inference and jobs.")
        var cpuSeconds: Double?
        @Option(help: "Tokens of prompts, answers and training.") var tokens: Int?
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            var body: JSONObject = [:]
            if let cpuSeconds { body["cpu_seconds"] = .double(cpuSeconds) }
            if let tokens { body["tokens"] = JSON(tokens) }
            let budget: BudgetInfo = try await Connection.with(options) {
                try await $0.send(.PUT, "/api/v1/projects/\(Client.segment(project))/budget", JSON.object(body))
            }
            try options.output.show(budget) { Budget.text($0) }
        }
    }

    private static func text(_ budget: BudgetInfo) -> String {
        var table = Table(["THING", ">USED", ">LIMIT"])
        table.add([
            "CPU", Format.seconds(budget.used.cpuSeconds ?? 0), budget.limit.cpuSeconds.map(Format.seconds) ?? "none",
        ])
        table.add([
            "tokens", Format.count(budget.used.tokens ?? 0), budget.limit.tokens.map(Format.count) ?? "none",
        ])
        return "\(budget.project), since \(Format.time(budget.since))\n\(table.text)"
    }
}
