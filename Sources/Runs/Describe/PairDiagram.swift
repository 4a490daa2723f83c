import Foundation
import MMoEFiles
import MMoEModels
import MMoEReport

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
    ]
    let pair = Architecture(pairOf: variant).lastPair
    let dense = pair.operators.map { (node: node($0), label: label($0)) }
    let end = pair.calls.isEmpty ? "out" : "sum"
    lines += dense.map { "  \($0.node) [label=\"\($0.label)\"];" }
    lines += [
      "  out [shape=plain, fillcolor=none, label=\"output\"];",
      "  in -> \((dense.map(\.node) + [end]).joined(separator: " -> ")) [weight=8];",
    ]
    if !pair.calls.isEmpty { lines.append("  sum [shape=circle, label=\"+\"]; sum -> out [weight=8];") }
    for call in pair.calls {
      let (index, source) = (call.id.route, call.route.source)
      let window = call.window.map(\.kind.rawValue).joined(separator: ", ")
      let hidden = window.isEmpty ? "nothing to hide behind" : "hides behind " + window
      if source.isBeforePair {
        lines.append("  s\(index) [shape=plain, fillcolor=none, label=\"\(source.words)\"];")
      }
      lines += [
        "  r\(index) [fillcolor=\"#fbe5c8\", label=\"gate, top-\(call.route.k)\\ndispatch\"];",
        "  e\(index) [fillcolor=\"#fbe5c8\", label=\"experts\"];",
        "  \(node(source, index)) -> r\(index) [color=\"#c05800\"];",
        "  r\(index) -> e\(index) -> sum [color=\"#c05800\", label=\"\(hidden)\", style=dashed];",
      ]
    }
    return (lines + ["}"]).joined(separator: "\n") + "\n"
  }

  /// Blocks of a pair are numbered from 1.
  private func number(_ operation: WindowOperator) -> Int { operation.block % 2 + 1 }

  private func node(_ operation: WindowOperator) -> String {
    switch operation.kind {
    case .attention: "a\(number(operation))"
    case .mlp: "m\(number(operation))"
    case .shared: "s"
    }
  }

  private func label(_ operation: WindowOperator) -> String {
    switch operation.kind {
    case .attention: "attention \(number(operation))"
    case .mlp: "MLP \(number(operation))"
    case .shared: "shared expert"
    }
  }

  /// The node after which a state of the pair exists.
  private func node(_ source: RouteSource, _ route: Int) -> String {
    switch (source.blocksBack, source.site) {
    case (0, .input), (1, .output): "m1"
    case (0, .afterAttention): "a2"
    case (1, .afterAttention): "a1"
    case (0, .output): "sum"
    case (1, .input), (2, .output): "in"
    default: "s\(route)"
    }
  }

  /// Draws the graph.
  ///
  /// - Throws: `ReportError` when Graphviz is not installed or fails, or the file cannot be written.
  func writeSVG(to file: String) throws {
    guard let program = SearchPath.find("dot") else {
      throw ReportError(
        file, found: "dot is not installed", remedy: "install it with: sudo apt-get install -y graphviz")
    }
    let manager = FileManager.default
    let folder = manager.temporaryDirectory.appendingPathComponent("mmoe-diagram-\(UUID().uuidString)")
    do {
      try manager.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? manager.removeItem(at: folder) }
      try Data(dot.utf8).write(to: folder.appendingPathComponent("pair.dot"))
      let complaint = try DrawingProgram.run(
        program, ["-Tsvg", "-opair.svg", "pair.dot"], in: folder, timeout: 60)
      guard complaint.isEmpty else { throw ReportError(file, found: "dot failed: \(complaint)") }
      let picture = try Data(contentsOf: folder.appendingPathComponent("pair.svg"))
      try DurableFile.write(picture, to: file)
    } catch let error as FileFailure {
      throw error
    } catch let error as ReportError {
      throw error
    } catch {
      throw ReportError(file, found: "cannot be written (\(systemReason(of: error)))", remedy: "choose another file")
    }
  }
}

extension RouteSource {
  /// Whether it is further back than the input of the pair that ends with the route's block.
  fileprivate var isBeforePair: Bool { self < .position3 && self != RouteSource(blocksBack: 2, site: .output) }
}

extension ModelDescription {
  /// Draws one block pair of the model.
  ///
  /// - Throws: `ReportError` when it cannot be drawn or written.
  package func drawPair(to file: String) throws { try PairDiagram(moe).writeSVG(to: file) }
}
