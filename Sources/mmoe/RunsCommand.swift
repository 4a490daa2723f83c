import ArgumentParser
import MMoEFiles
import MMoEReport
import MMoERuns

struct RunsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "runs", abstract: "List training runs, compare them, make a page of one, export what they recorded.",
    discussion: """
      `mmoe runs [DIR]` is `mmoe runs list [DIR]`. Only small files are read (run.json, config.yaml, metrics.jsonl), so runs \
      that are still training can be looked at, too.
      """,
    subcommands: [List.self, Compare.self, Report.self, Export.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "A table of the runs below a folder, newest first.",
      discussion: """
        "best" is the best validation so far, by the metric that chooses a run's best checkpoint. "time" is that of its training \
        steps, without evaluations. Columns that do not fit the terminal are left out, the least important first. With --json \
        every run is one line with all fields.
        """)

    @Argument(help: "A folder of runs, searched three levels deep; by default checkpoints.", completion: .directory)
    var folder: String?
    @Option(help: "Order of the rows. Best, step and time: largest or best first.") var sort = RunListing.Order.date
    @Option(name: .customLong("task"), help: "Only runs of this task.", completion: TaskOption.completion) var onlyTask:
      String?
    @Option(help: "Only runs of this preset.", completion: HelpText.presets) var preset: String?
    @Option(help: "Only runs with this KEY=VALUE in their configuration, such as moe.experts=8; repeatable.")
    var filter: [String] = []
    @Option(help: "At most this number of runs.") var limit: Int?
    @OptionGroup var format: JSONOnlyOption

    func validate() throws {
      if let limit, limit < 1 { throw ValidationError("--limit is \(limit); at least 1 is needed") }
    }

    func run() throws {
      var options = RunListing.Options()
      (options.folder, options.order, options.task, options.preset) = (folder, sort, onlyTask, preset)
      (options.filters, options.limit, options.printsJSON) = (filter, limit, format.json)
      try RunListing(options).run()
    }
  }

  struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Settings in which runs differ, their metrics side by side, and their curves in one picture.",
      discussion: """
        Runs of different tasks are compared by the metrics that all of them recorded. The table ends with whether the runs were \
        trained on the same data.
        """)

    @Argument(help: "Two runs or more: folders, or names below checkpoints.", completion: .directory) var runs: [String]
    @Option(help: "Also draw the curves of all runs into this PNG file.") var plot: OutputPath?
    @OptionGroup var format: JSONOnlyOption

    func validate() throws {
      if runs.count < 2 { throw ValidationError("only one run is named; at least 2 are needed") }
    }

    func run() throws {
      var options = RunComparison.Options()
      (options.runs, options.plot, options.printsJSON) = (runs, try plot?.file("--plot"), format.json)
      try RunComparison(options).run()
    }
  }

  struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "A run on one HTML page: curves, load of the experts, samples, settings, data, commands.",
      discussion: """
        `mmoe train` makes it at its end. The page needs no other file and no network, so it can be sent to others.
        """)

    @OptionGroup var source: RunArgument
    @Option(help: "The file to write; by default report.html in the run's folder.") var out: OutputPath?

    func run() throws {
      let out = try out?.file("--out")
      let file = try RunPage(source.run).write(to: out)
      StandardStream.output.line(oneLine(file))
    }
  }

  struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Everything that a run recorded, as comma-separated values.",
      discussion: """
        A line for each step and a column for each value. The elements of a vector are columns of their own: \
        expert_share/layer1.0, expert_share/layer1.1 and so on. Steps without a value have an empty cell.
        """)

    @OptionGroup var source: RunArgument
    @Option(help: "The file to write; - for standard output.") var csv: OutputPath

    func run() throws { try RunExport.run(source.run, to: csv.unchecked == "-" ? nil : csv.file("--csv")) }
  }
}

/// The run that a command is about.
struct RunArgument: ParsableArguments {
  @Argument(help: "A run's folder, or its name below checkpoints.") var run: String
}

extension RunListing.Order: ExpressibleByArgument {}
