import ArgumentParser
import MMoEData
import MMoEReport
import MMoETrain

extension DocumentRule: ExpressibleByArgument {}

extension DataCommand {
  struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Turn text into token shards for training.",
      discussion: """
        Every line of a JSONL file and every other file of a folder is a document. Where the names of files and folders \
        say train and val (valid), these are the parts; else a document's content decides, so that equal documents are \
        in one part, and a single text is cut at a line.
        """)

    @Argument(help: "A text, a JSONL file, either packed with gzip or zstd, or a folder of them.") var input: String
    @Option(help: "The word bytes, a folder with vocab.json and merges.txt, or a tokenizer.json.")
    var tokenizer: String
    @Option(help: HelpText.newFolder) var out: OutputPath
    @Option(help: "The text's field in JSONL files.") var field = CorpusTokenizer.Options().field
    @Option(help: "What in other files is a document.") var documents = CorpusTokenizer.Options().documents
    @Option(help: "Share of the documents for validation, where file names do not say it.")
    var valShare = CorpusTokenizer.Options().validationShare
    @Option(help: "Another seed chooses other documents for validation.") var seed: UInt64 = 0
    @Option(help: "Tokens of a shard.") var shardTokens = CorpusTokenizer.Options().shardTokens
    @OptionGroup var compute: ThreadsOption

    func run() throws {
      let out = try out.folder("--out")
      var options = CorpusTokenizer.Options()
      options.field = field
      options.documents = documents
      options.validationShare = valShare
      options.seed = seed
      options.shardTokens = shardTokens
      try CorpusWork.tokenize(
        input, tokenizer: try TokenizerFiles.tokenizer(tokenizer), options: options, to: out, threads: compute.threads,
        sink: StandardStream.output)
    }
  }

  struct ImportBin: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Turn nanoGPT's train.bin and val.bin into token shards.")

    @Argument(help: "A .bin file of raw ids, or a folder with train.bin and val.bin.") var input: String
    @Option(help: "Bytes of an id in the file: 2 or 4.") var tokenBytes = 2
    @Option(help: "Number of ids, where the tokenizer is not at hand.") var vocabulary: Int?
    @Option(help: "The tokenizer that made the ids; then documents and text are known.") var tokenizer: String?
    @Option(help: HelpText.newFolder) var out: OutputPath

    func validate() throws {
      guard (vocabulary == nil) != (tokenizer == nil) else {
        throw ValidationError("give either --vocabulary or --tokenizer")
      }
    }

    func run() throws {
      let out = try out.folder("--out")
      let meaning =
        try tokenizer.map { TokenImport.Vocabulary.tokenizer(try TokenizerFiles.tokenizer($0)) }
        ?? .size(vocabulary ?? 0)
      try CorpusWork.importTokens(input, meaning, tokenBytes: tokenBytes, to: out, sink: StandardStream.output)
    }
  }
}
