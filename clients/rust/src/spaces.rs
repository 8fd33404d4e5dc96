//! A search space to begin with: chains of convolution blocks, for images and sequences.

use std::collections::HashMap;

use crate::{
    graph::{attribute::Value, Attribute, Graph, Node},
    synthesizer::Problem,
};

const MAX_BLOCKS: u64 = 4;
const MAX_WIDTH: u64 = 64;
const MIN_SIDE: u64 = 4; // Smaller maps are not pooled.

/// Operators of the networks of a chain.
pub const OPERATORS: [&str; 6] = ["activation", "batch_norm", "conv", "global_pool", "linear", "max_pool"];

/// A convolution, a batch norm, a ReLU; a pool of 2 follows every block but the last, while the sides allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    pub width: u64,
    pub kernel: u64,
}

/// A graph with its parameters and its FLOPs (of one example, forward).
pub struct Network {
    pub graph: Graph,
    pub params: u64,
    pub flops: u64,
}

/// Draw 1 to 4 blocks with widths of 1 to 64, of fewer channels the larger `shrink` is (0 to 5), kernels 1, 3 or 5.
pub fn draw_chain(random: &mut SplitMix, shrink: u32) -> Vec<Block> {
    let most = (MAX_WIDTH >> shrink).max(2);
    let blocks = 1 + random.below(MAX_BLOCKS.min(most));
    (0..blocks).map(|_| Block { width: 1 + random.below(most), kernel: 1 + 2 * random.below(3) }).collect()
}

/// A chain in words: "32k3-64k5".
pub fn name_of(chain: &[Block]) -> String {
    chain.iter().map(|block| format!("{}k{}", block.width, block.kernel)).collect::<Vec<_>>().join("-")
}

/// The network of a chain for the problem's input (two or three extents) and classes.
pub fn build(problem: &Problem, chain: &[Block]) -> Network {
    let input = problem.input.clone().unwrap_or_default();
    let classes = u64::from(problem.dataset.as_ref().map_or(0, |dataset| dataset.classes));
    let mut extents: Vec<u64> = input.shape.iter().map(|&extent| u64::from(extent)).collect();
    let (mut channels, mut last) = (extents.pop().unwrap_or(0), input.name.clone());
    let mut sides = extents;
    let (mut nodes, mut params, mut flops) = (vec![], 0, 0);
    for (index, block) in chain.iter().enumerate() {
        let mut add = |op: &str, attributes: &[(&str, Value)]| {
            let name = format!("block{index}/{op}");
            nodes.push(node(&name, op, &std::mem::replace(&mut last, name.clone()), attributes));
        };
        add("conv", &[("channels", int(block.width)), ("kernel", int(block.kernel))]);
        add("batch_norm", &[]);
        add("activation", &[("function", text("relu"))]);
        let weights = channels * block.kernel.pow(sides.len() as u32) * block.width;
        params += weights + 2 * block.width;
        flops += (2 * weights + 5 * block.width) * sides.iter().product::<u64>();
        if index + 1 < chain.len() && sides.iter().all(|&side| side >= MIN_SIDE) {
            add("max_pool", &[("kernel", int(2))]);
            sides.iter_mut().for_each(|side| *side /= 2);
            flops += block.width * sides.iter().product::<u64>() << sides.len();
        }
        channels = block.width;
    }
    nodes.push(node("pool", "global_pool", &last, &[("function", text("avg"))]));
    nodes.push(node("logits", "linear", "pool", &[("units", int(classes))]));
    params += (channels + 1) * classes;
    flops += channels * sides.iter().product::<u64>() + (2 * channels + 1) * classes;
    Network { graph: Graph { input: Some(input), nodes, output: "logits".to_string() }, params, flops }
}

/// Whether a network keeps the hard bounds of a problem on parameters and FLOPs.
pub fn fits(problem: &Problem, network: &Network) -> bool {
    let figure = |metric: &str| match metric {
        "params" => network.params as f64,
        "flops" => network.flops as f64,
        _ => 0.0, // measured by the engine
    };
    problem.constraints.iter().filter(|bound| bound.hard).all(|bound| bound.max.is_none_or(|max| figure(&bound.metric) <= max))
}

/// Random numbers: Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 2014.
pub struct SplitMix(pub u64);

impl SplitMix {
    /// One of 0 to `bound` - 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

fn int(value: u64) -> Value {
    Value::Int(value as i64)
}

fn text(value: &str) -> Value {
    Value::Text(value.to_string())
}

fn node(name: &str, op: &str, input: &str, attributes: &[(&str, Value)]) -> Node {
    let attribute = |(name, value): &(&str, Value)| (name.to_string(), Attribute { value: Some(value.clone()) });
    let attributes: HashMap<_, _> = attributes.iter().map(attribute).collect();
    Node { name: name.to_string(), op: op.to_string(), inputs: vec![input.to_string()], attributes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Input,
        synthesizer::{Constraint, DatasetProfile},
    };

    fn problem(most_params: f64) -> Problem {
        Problem {
            input: Some(Input { name: "image".to_string(), shape: vec![8, 8, 1], ..Default::default() }),
            dataset: Some(DatasetProfile { classes: 10, ..Default::default() }),
            constraints: vec![Constraint { metric: "params".to_string(), max: Some(most_params), hard: true, min: None }],
            ..Default::default()
        }
    }

    #[test]
    fn figures_are_those_of_the_documented_formulas() {
        let chain = [Block { width: 4, kernel: 3 }, Block { width: 2, kernel: 1 }];
        let network = build(&problem(1e9), &chain);
        // conv and batch norm of both blocks, then the linear layer
        assert_eq!(network.params, (9 * 4 + 8) + (4 * 2 + 4) + (2 * 10 + 10));
        let first = (2 * 36 + 5 * 4) * 64 + 4 * 4 * 16;
        let second = (2 * 8 + 5 * 2) * 16;
        assert_eq!(network.flops, first + second + 2 * 16 + (2 * 2 + 1) * 10);
        assert_eq!(name_of(&chain), "4k3-2k1");
        assert!(fits(&problem(network.params as f64), &network) && !fits(&problem(1.0), &network));
    }
}
