"""The paper's experiments: configuration, measurement, figures; a folder per problem."""
