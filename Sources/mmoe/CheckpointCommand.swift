import ArgumentParser
import MMoEFiles
import MMoEReport
import MMoETrain
import MMoEWeights

struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint", abstract: "Look into checkpoints, compare, average and convert them.",
    discussion: "Where a checkpoint is expected, a run's folder stands for its best one.",
    subcommands: [
      Info.self, List.self, Diff.self, Verify.self, Average.self, Convert.self, Merge.self, Split.self,
      MergeLoRA.self, Prune.self,
    ])

  struct Info: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Task, step, size, names and origin of a checkpoint.")

    @OptionGroup var source: LatestCheckpointArgument
    @OptionGroup var format: JSONOnlyOption

    func run() throws {
      let info = try CheckpointInspection.info(CheckpointInspection.file(source.checkpoint))
      if format.json { StandardStream.output.line(info.json.line) } else { StandardStream.output.write(info.text) }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The model's arrays with their shapes.")

    @OptionGroup var source: LatestCheckpointArgument
    @Argument(help: "Only those that match, such as 'blocks.*.moe.*' or experts.") var patterns: [String] = []

    func run() throws {
      let file = try CheckpointInspection.file(source.checkpoint)
      let text = try CheckpointInspection.list(file, patterns: patterns)
      if source.checkpoint == nil { StandardStream.output.line("checkpoint \(file)") }
      StandardStream.output.write(text)
    }
  }

  struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Settings and weights in which two checkpoints differ.")

    @Argument(help: "A checkpoint or a run's folder.", completion: .file()) var first: String
    @Argument(help: "Another one.", completion: .file()) var second: String

    func run() throws { StandardStream.output.write(try CheckpointInspection.diff(first, second)) }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Compare every byte with the checksum in the file; all numbers must be finite.")

    @Argument(help: "Checkpoints, or folders of them.", completion: .file()) var checkpoints: [String]

    func run() throws { try CheckpointInspection.verify(checkpoints) { StandardStream.output.line($0) } }
  }

  struct Average: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The mean of several checkpoints' weights.")

    @Argument(help: "Checkpoints of one model.", completion: .file()) var checkpoints: [String]
    @Option(help: HelpText.newCheckpointOfWeights) var out: OutputPath

    func run() throws {
      let out = try out.file("--out", isCheckpoint: true)
      try CheckpointRewriting.average(checkpoints, to: out)
      StandardStream.output.line("mean of \(checkpoints.count) checkpoints in \(out)")
    }
  }

  struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "To and from other formats.",
      discussion: """
        A name that ends in .safetensors gets all arrays under our names; one that ends in .h5 a checkpoint of weights \
        alone; any other a folder of Hugging Face's layout, for models that GPT-2, Llama, Mixtral or ViT stand for.
        """)

    @Argument(help: "A checkpoint, a run's folder, or a folder with config.json and model.safetensors.") var source:
      String
    @Option(help: "FILE.safetensors, FILE.h5 or FOLDER.") var out: OutputPath

    func run() throws {
      let isFile = CheckpointConversion.makesFile(out.unchecked)
      let out = try isFile ? out.file("--out", isCheckpoint: true) : out.folder("--out")
      StandardStream.output.line(try CheckpointConversion.convert(source, to: out))
    }
  }

  struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "One file of a checkpoint that several ranks wrote.")

    @OptionGroup var source: CheckpointArgument
    @Option(help: HelpText.newCheckpoint) var out: OutputPath

    func run() throws {
      CheckpointCommand.report(
        try CheckpointRewriting.reshard(source.checkpoint, parts: 1, to: out.file("--out", isCheckpoint: true)))
    }
  }

  struct Split: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "A checkpoint as so many ranks would write it.")

    @OptionGroup var source: CheckpointArgument
    @Option(help: "Files NAME.rNN.h5 among which the experts are shared out.") var ranks: Int
    @Option(help: "The checkpoint to write, NAME.h5.") var out: OutputPath

    func validate() throws {
      if ranks < 2 { throw ValidationError("--ranks is \(ranks), expected at least 2; merge writes one file") }
    }

    func run() throws {
      CheckpointCommand.report(
        try CheckpointRewriting.reshard(source.checkpoint, parts: ranks, to: out.file("--out", isCheckpoint: true)))
    }
  }

  struct MergeLoRA: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "merge-lora", abstract: "A whole model of one that was trained with adapters (lora.rank).")

    @OptionGroup var source: CheckpointArgument
    @Option(help: HelpText.newCheckpointOfWeights) var out: OutputPath

    func run() throws {
      let out = try out.file("--out", isCheckpoint: true)
      let count = try CheckpointRewriting.mergeAdapters(source.checkpoint, to: out)
      StandardStream.output.line("adapters of \(count) weights merged in \(out)")
    }
  }

  fileprivate static func report(_ files: [(file: String, bytes: Int)]) {
    for (file, bytes) in files { StandardStream.output.line("\(file)  \(HumanFormat.bytes(bytes))") }
  }

  struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Remove a run's older checkpoints; best.h5 stays.")

    @Argument(help: "A run's folder.", completion: .directory) var folder: String
    @Option(help: "So many latest ones stay.") var keep = 2
    @Option(help: "So do those whose step this divides; 0 = none.") var every = 0

    func validate() throws {
      if keep < 1 {
        throw ValidationError("--keep is \(keep); at least 1 is needed, the run could not go on otherwise")
      }
      if every < 0 { throw ValidationError("--every is \(every); at least 0 is needed") }
    }

    func run() throws {
      let removed = try CheckpointRewriting.prune(folder, keep: keep, every: every)
      for file in removed { StandardStream.output.line("removed \(file)") }
      StandardStream.output.line("\(removed.count) checkpoints removed")
    }
  }
}
