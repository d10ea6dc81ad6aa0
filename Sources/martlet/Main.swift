import ArgumentParser
import Foundation
import MartletWire

/// The command line: parses, calls, prints; errors become the exit codes of `MartletError.exitCode`.
@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "From a folder of data to a served model.",
        discussion: """
            The options --home, --url, --api-key, --json and --quiet may stand before or after a command.
            Start with: martlet doctor; martlet train RECIPE; martlet predict NAME --input FILE
            """,
        version: MartletVersion.text,
        subcommands: [
            Serve.self, Stop.self, Config.self, Doctor.self, DataCommand.self, Plan.self, Train.self, Jobs.self,
            Models.self, Evaluate.self, Deploy.self, Deployments.self, Predict.self, Chat.self, Projects.self,
            Keys.self,
            Usage.self, Budget.self, Audit.self, GC.self,
        ])

    /// The command. A group of commands and `help` tell what there is; global options before them say nothing more.
    private static func parsed(_ arguments: [String]) throws -> any ParsableCommand {
        do {
            return try parseAsRoot(GlobalOptions.moved(arguments))
        } catch {
            let (leading, bare) = GlobalOptions.split(arguments)
            guard !leading.isEmpty, !bare.isEmpty, let command = try? parseAsRoot(Array(bare)),
                bare.first == "help" || !type(of: command).configuration.subcommands.isEmpty
            else { throw error }
            return command
        }
    }

    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parsed(Array(CommandLine.arguments.dropFirst()))
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as MartletError {
            Console.error(error.message)
            leave(error.exitCode)
        } catch let code as ExitCode {
            leave(code.rawValue)
        } catch {
            let code = exitCode(for: error)
            let text = fullMessage(for: error)
            guard code == .success || code == .validationFailure else {
                Console.error(String(describing: error))
                leave(70)
            }
            if code == .success { print(text) } else { Console.note(text) }
            leave(code.rawValue)
        }
    }
}

/// Ends the process once output is out.
private func leave(_ code: Int32) -> Never {
    fflush(nil)
    exit(code)
}
