import ArgumentParser
import MMoENotebook
import MMoEReport
import MMoETrain

struct NotebookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "notebook", abstract: "Run the commands of a Markdown file and keep their outputs in it.",
    discussion: """
      Blocks fenced as sh are commands, the text block behind each is its output. Words behind sh: time-limit=SECONDS \
      (600 without it), stable (the same output every time), quick (run by check). Commands run in the project's \
      folder; $NOTEBOOK is an empty folder for what they make.
      """,
    subcommands: [Run.self, Check.self])

  struct Files: ParsableArguments {
    @Argument(help: "Markdown files.") var files: [String]
  }

  struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run all commands and write their outputs into the file.")
    @OptionGroup var notebooks: Files

    func run() throws { try NotebookCommand.each(notebooks.files) { try $0.run() } }
  }

  struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Run the quick commands; exit status 1 when one fails or a stable output differs.")
    @OptionGroup var notebooks: Files

    func run() throws { try NotebookCommand.each(notebooks.files) { try $0.check() } }
  }

  private static func each(_ files: [String], _ body: (NotebookSession) throws -> Int32) throws {
    Interrupt.install()
    for file in files {
      let status = try body(NotebookSession(file))
      if status != 0 { throw ExitCode(status) }
    }
  }
}
