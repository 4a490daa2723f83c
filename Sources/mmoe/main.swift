import MMoETrain
import MMoEModels
import MMoETensor
import Foundation
let args = CommandLine.arguments
var c = ModelConfig()
var batch = 64
if args.contains("small") { c.layers=8; c.width=384; c.heads=6; c.image=64; c.patch=8; c.classes=200; batch=32 }
if let v = args.first(where:{$0.hasPrefix("v=")}) { c.moe.variant = String(v.dropFirst(2)) }
if let v = args.first(where:{$0.hasPrefix("e=")}) { c.moe.experts = Int(v.dropFirst(2))! }
let e = try Engine(threads: args.contains("t1") ? 1 : 2, backend: args.contains("ob") ? .openBLAS : nil)
let prof = OperationProfile()
let r = try StepBenchmark(config: c, optimizer: .init(), preset: "x", mode: .train, batch: batch, steps: 20).run(engine: e, profile: prof)
print(r)
let tot = prof.entries.reduce(0){$0+$1.seconds}
for x in prof.entries.sorted(by:{$0.seconds>$1.seconds}) { print(String(format:"%6.2f ms %5.1f%% %@", x.seconds/20*1e3, 100*x.seconds/tot, x.name)) }
print(tot/20*1e3)
