import Foundation
import MMoEModels

/// The data flow of one block pair as a graph for Graphviz: the dense path from left to right, routes below it from
/// their source to the end of their block, each with the operators that hide its exchange.
struct PairDiagram {
  private let variant: MoEVariant?
  private let name: String

  /// - Throws: `ModelError` for an unknown variant.
  init(_ config: MoEConfig) throws {
    variant = config.variant == "dense" ? nil : try MoEVariant.resolve(config)
    name = config.variant
  }

  /// The graph in Graphviz's language.
  var dot: String {
    var lines = [
      "digraph pair {", "  rankdir=LR; fontname=\"DejaVu Sans\"; labelloc=t; label=\"\(name)\";",
      "  node [shape=box, style=filled, fillcolor=\"#e8eef7\", fontname=\"DejaVu Sans\", fontsize=11];",
      "  edge [fontname=\"DejaVu Sans\", fontsize=10];", "  in [shape=plain, fillcolor=none, label=\"input\"];",
      "  a1 [label=\"attention 1\"]; m1 [label=\"MLP 1\"]; a2 [label=\"attention 2\"];",
      "  out [shape=plain, fillcolor=none, label=\"output\"];", "  in -> a1 -> m1 -> a2 [weight=8];",
    ]
    guard let variant else {
      lines += ["  m2 [label=\"MLP 2\"]; a2 -> m2 -> out [weight=8];", "}"]
      return lines.joined(separator: "\n") + "\n"
    }
    lines.append("  sum [shape=circle, label=\"+\"]; sum -> out [weight=8];")
    lines.append(
      variant.sharedExpert
        ? "  s [label=\"shared expert\"]; a2 -> s -> sum [weight=8];" : "  a2 -> sum [weight=8];")
    for (index, route) in variant.routes.enumerated() {
      let window = route.window(sharedExpert: variant.sharedExpert)
      let hidden = window.isEmpty ? "nothing to hide behind" : "hides behind " + window.joined(separator: ", ")
      lines += [
        "  r\(index) [fillcolor=\"#fbe5c8\", label=\"gate, top-\(route.k)\\ndispatch\"];",
        "  e\(index) [fillcolor=\"#fbe5c8\", label=\"experts\"];",
        "  \(node(route.source)) -> r\(index) [color=\"#c05800\"];",
        "  r\(index) -> e\(index) -> sum [color=\"#c05800\", label=\"\(hidden)\", style=dashed];",
      ]
    }
    return (lines + ["}"]).joined(separator: "\n") + "\n"
  }

  /// The node after which a state of the pair exists.
  private func node(_ source: RouteSource) -> String {
    switch (source.blocksBack, source.site) {
    case (0, .input), (1, .output): "m1"
    case (0, .afterAttention): "a2"
    case (1, .afterAttention): "a1"
    case (0, .output): "sum"
    default: "in"
    }
  }

  /// Draws the graph.
  ///
  /// - Throws: `PlotError` when Graphviz is not installed or fails, or the file cannot be written.
  func writeSVG(to file: String) throws {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let programs = path.split(separator: ":").map { "\($0)/dot" }
    guard let program = programs.first(where: FileManager.default.isExecutableFile(atPath:)) else {
      throw PlotError("\(file): dot is not installed; install it with: sudo apt-get install -y graphviz")
    }
    let process = Process()
    let (input, output) = (Pipe(), Pipe())
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = ["-Tsvg"]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    // A graph of a dozen nodes fits into the pipe, so nobody waits for anybody.
    input.fileHandleForWriting.write(Data(dot.utf8))
    try input.fileHandleForWriting.close()
    let picture = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0, !picture.isEmpty else {
      throw PlotError("\(file): dot ended with status \(process.terminationStatus), expected a picture")
    }
    do {
      try picture.write(to: URL(fileURLWithPath: file), options: .atomic)
    } catch {
      throw PlotError("\(file): cannot be written (\(systemReason(of: error))); choose another file")
    }
  }
}

extension ModelDescription {
  /// Draws one block pair of the model.
  ///
  /// - Throws: `PlotError` when it cannot be drawn or written.
  public func drawPair(to file: String) throws { try PairDiagram(moe).writeSVG(to: file) }
}
