import ArgumentParser
import Foundation
import MMoEData
import MMoEReport
import MMoETrain

struct TokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer", abstract: "Train and use byte-level BPE tokenizers.",
    subcommands: [Train.self, Encode.self, Decode.self, Inspect.self])

  struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Learn merges from text files; writes vocab.json and merges.txt.")

    @Argument(help: "Text files.") var files: [String]
    @Option(help: "Tokens: 256 bytes and the merges.") var vocabulary = 8192
    @Option(help: HelpText.newFolder) var out: OutputPath

    func run() throws {
      let out = try out.folder("--out")
      let tokenizer = try TokenizerWork.train(files, vocabularySize: vocabulary, to: out)
      StandardStream.output.line("\(tokenizer.vocabularySize) tokens, \(tokenizer.merges.count) merges in \(out)")
    }
  }

  struct TokenizerOption: ParsableArguments {
    @Option(help: HelpText.tokenizer)
    var tokenizer: String
  }

  struct Encode: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Text to ids: of an argument, of standard input, or of every line of a JSONL file.")

    @OptionGroup var source: TokenizerOption
    @Argument(help: "The text; standard input without it.") var text: String?
    @Option(help: "A file of {\"text\": …} lines; prints {\"ids\": […]} lines.") var jsonl: String?
    @Flag(help: "Let names such as <|endoftext|> stand for special tokens.") var special = false

    func run() throws {
      let tokenizer = try TokenizerFiles.load(source.tokenizer)
      let output = StandardStream.output
      if let jsonl {
        try TokenizerWork.encode(jsonl: jsonl, tokenizer, special: special) { output.line($0) }
        return
      }
      let bytes = text.map { [UInt8]($0.utf8) } ?? [UInt8](FileHandle.standardInput.readDataToEndOfFile())
      let ids =
        try special
        ? tokenizer.encodeWithSpecialTokens(String(decoding: bytes, as: UTF8.self)) : tokenizer.encode(bytes)
      output.line(ids.map(String.init).joined(separator: " "))
    }
  }

  struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Ids to text.")

    @OptionGroup var source: TokenizerOption
    @Argument(help: "Token ids.") var ids: [Int32]

    func run() throws {
      let bytes = try TokenizerFiles.load(source.tokenizer).decode(ids)
      StandardStream.output.write(bytes: bytes)
    }
  }

  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Sizes, special tokens and the longest tokens; bytes a token on a text.")

    @Argument(help: HelpText.tokenizer) var tokenizer: String
    @Option(help: "A text file to measure on.") var text: String?

    func run() throws {
      let tokenizer = try TokenizerFiles.load(tokenizer)
      StandardStream.output.write(try TokenizerWork.describe(tokenizer, text: text))
    }
  }
}
