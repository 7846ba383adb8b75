using System.Linq.Expressions;
using Registry.Storage.Domain;

namespace Registry.Storage.Metadata;

/// <summary>Whether a viewer may see an image that is asked for by id (spec/glance-v2.md, 3.3), as a term of
/// queries.</summary>
/// <remarks>A member's answer does not matter, and nobody's image is everybody's. A query that is compiled once takes the
/// viewer as parameters and one that is made each time captures him; <see cref="Inline{T}"/> puts the same rule into
/// both.</remarks>
internal static class ShownImages
{
    private static readonly Expression<Func<RegistryDb, Image, bool, string?, bool>> Rule =
        (db, image, isAdmin, project) => isAdmin
            || image.Owner == null
            || image.Owner == project
            || image.Visibility == ImageVisibility.Public
            || image.Visibility == ImageVisibility.Community
            || (image.Visibility == ImageVisibility.Shared
                && db.Members.Any(m => m.ImageId == image.Id && m.MemberId == project));

    /// <summary>Stands for the rule in a query that goes through <see cref="Inline{T}"/>.</summary>
    /// <param name="db">The database that the query asks.</param>
    /// <param name="image">The image.</param>
    /// <param name="isAdmin">Whether the viewer sees everything.</param>
    /// <param name="project">The viewer's project; null sees what is nobody's or everybody's.</param>
    public static bool Has(RegistryDb db, Image image, bool isAdmin, string? project) =>
        throw new NotSupportedException("It is a term of queries.");

    /// <summary>Puts the rule where <see cref="Has"/> stands.</summary>
    public static Expression<T> Inline<T>(Expression<T> query) => (Expression<T>)new Inliner().Visit(query);

    private sealed class Inliner : ExpressionVisitor
    {
        protected override Expression VisitMethodCall(MethodCallExpression node) =>
            node.Method.DeclaringType == typeof(ShownImages) && node.Method.Name == nameof(Has)
                ? new Filler(node.Arguments).Visit(Rule.Body)
                : base.VisitMethodCall(node);
    }

    private sealed class Filler(IReadOnlyList<Expression> values) : ExpressionVisitor
    {
        protected override Expression VisitParameter(ParameterExpression node) =>
            Rule.Parameters.IndexOf(node) is var place and >= 0 ? values[place] : node;
    }
}
